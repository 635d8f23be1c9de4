"""What an earlier rankwise wrote opens, goes on and says the same: ``files/`` is of commit 4534d1c, 2026-11-30."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rankwise.adapters import load
from rankwise.cli.main import main
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
    ledger = (out / "ledger.sqlite").read_bytes()
    assert main([*command, "--out", str(out)]) == 0
    assert (out / "ledger.sqlite").read_bytes() == ledger, "a run or a score was made again"
    now, then = (json.loads((where / "results.json").read_text())["results"] for where in (out, FILES / name))
    for results in (now, then):
        for strategy in results.get("strategies", ()):
            del strategy["title"]  # prose, which may be said better
    assert json.dumps(now, sort_keys=True) == json.dumps(then, sort_keys=True)


def test_its_adapters_load(folder):
    base = load_base("tiny", dtype=torch.float32)
    for adapter in sorted(folder.glob("study/runs/*/adapter")):
        handle = load(base.model, adapter, base_fingerprint=base.fingerprint)
        assert any(bool(slot.delta().any()) for slot in handle.slots.values())
        handle.detach()
