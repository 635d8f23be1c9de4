"""What an earlier rankwise wrote opens, goes on and says the same: ``files/`` is of commit 4534d1c, 2026-11-30."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rankwise.adapters import load
from rankwise.cli.main import main
from rankwise.ledger.store import Ledger
from rankwise.models import load_base

FILES = Path(__file__).parent / "files"
STUDY = ["--methods", "lora-r1", "--seeds", "2", "--set", "steps=4", "--set", "eval_every=2", "--set", "widen=0"]
STUDY += ["--set", "sizes={train: 8, selection: 4, test: 4}", "--set", "search=grid"]
STUDY += ["--set", "learning_rates={lora-r1: [0.01], full: [0.003]}"]


@pytest.fixture
def folder(tmp_path):
    """A copy, on a machine that draws the tiny model's weights as the one that wrote it did."""
    cell = json.loads((FILES / "study" / "results.json").read_text())["results"]["cell"]
    if load_base("tiny", dtype=torch.float32).fingerprint != cell["base_fingerprint"]:
        pytest.skip("this machine draws other weights for the tiny model, so runs of another machine are not its own")
    return shutil.copytree(FILES, tmp_path / "files")


@pytest.mark.parametrize(
    ("name", "command"),
    [("study", ["study", "smoke", *STUDY]), ("chain", ["chain", str(FILES / "stream.yaml")])],
)
def test_the_same_command_trains_nothing_and_says_the_same(name, command, folder, capsys):
    out = folder / name
    ledger = rows(out)
    assert main([*command, "--out", str(out)]) == 0
    assert rows(out) == ledger, "a run or a score was made again"
    now, then = (json.loads((where / "results.json").read_text())["results"] for where in (out, FILES / name))
    assert said_again(then, now) == []


def rows(folder):
    """What a ledger has of every run, but for looks at the results, which earlier ones did not record."""
    with Ledger(folder, read_only=True) as ledger:
        return [run for run in ledger.runs() if run.label != "look"]


def said_again(then, now, where=""):
    """What ``then`` says and ``now`` does not; prose may be said better, and there may be more."""
    if isinstance(then, dict) and isinstance(now, dict):
        kept = [name for name in then if name not in ("title", "sentence", "headline", "schema", "reason", "traps")]
        return [one for name in kept for one in said_again(then[name], now.get(name), f"{where}.{name}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [one for number, (old, new) in pairs for one in said_again(old, new, f"{where}[{number}]")]
    return [] if then == now else [f"{where}: {then} became {now}"]


def test_its_adapters_load(folder):
    base = load_base("tiny", dtype=torch.float32)
    for adapter in sorted(folder.glob("study/runs/*/adapter")):
        handle = load(base.model, adapter, base_fingerprint=base.fingerprint)
        assert any(bool(slot.delta().any()) for slot in handle.slots.values())
        handle.detach()
