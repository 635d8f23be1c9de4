"""What is resumed or handed on, made small, and bits of it flipped: noticed, or nothing changed."""

from __future__ import annotations

import random
import shutil
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rankwise.adapters import load, save
from rankwise.engine import CHECKPOINT, State, TrainSpec, checkpoint_step, train
from rankwise.errors import RankwiseError
from rankwise.integrations.merge import merge
from rankwise.ledger import Ledger
from rankwise.methods import lora, olora
from rankwise.models.folder import check_folder
from rankwise.studies.results.file import read_document, write_document

from ..contract.models import LLAMA
from ..contract.tools import attach, move
from ..interop.tools import adapter_folder, base_folder

KEYS = [f"{n:016x}" for n in range(8)]


def tensors_of(path):
    with safe_open(path, framework="pt") as file:
        return load_file(path), {k: v for k, v in file.metadata().items() if k != "rankwise.digest"}


def equal(one, two):
    tensors = one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    return tensors and all(one[key].dtype == two[key].dtype for key in one)


class Checkpoint:
    """A run's, in the middle."""

    def make(self, folder, base, splits):
        spec = TrainSpec(lora(rank=2, dropout=0.1), lr=1e-2, steps=4, batch=2, eval_steps=(2,))
        train(base, spec, splits, folder=folder, until=2)

    def read(self, folder):
        if checkpoint_step(folder / CHECKPOINT) is None:  # the run begins again, and says so
            raise RankwiseError("damaged")
        return tensors_of(folder / CHECKPOINT)

    def same(self, one, two):
        return equal(one[0], two[0]) and one[1] == two[1]


class EndState:
    """What a later run begins from."""

    def make(self, folder, base, splits):
        stream = torch.Generator().manual_seed(0)
        tensors = {f"m{i}.{f}": torch.randn(3, 4, generator=stream) for i in range(3) for f in "AB"}
        State(tensors, {"0/state/fisher": torch.rand(3, 4)}, ({"count": 3, "seen": [1, 2]},)).write(folder / "s")

    def read(self, folder):
        return State.read(folder / "s")

    def same(self, one, two):
        return equal(one.tensors, two.tensors) and equal(one.events, two.events) and one.record == two.record


class Rows:
    """A ledger: a run may be missing when that is said, and none may be another."""

    def make(self, folder, base, splits):
        with Ledger(folder) as ledger:
            for n, key in enumerate(KEYS):
                ledger.ensure(key, f"lora lr={n}", {"lr": n, "target": {"rank": 4}})
                ledger.start(key)
                ledger.finish(key, "done", {"nll": [n / 7] * 60}, seconds=n / 3)

    def read(self, folder):
        with Ledger(folder) as ledger:
            return ledger.runs(), ledger.notes

    def same(self, one, two):
        found, notes = two
        return found == one[0] or (bool(notes) and [run for run in one[0] if run in found] == found)


class Saved:
    """An adapter of ours: the base-editing one has all four files."""

    def make(self, folder, base, splits):
        handle = attach(LLAMA.make(torch.float32), olora(2))
        move(handle)
        save(handle, folder, base_model="tiny", base_fingerprint="f" * 64)

    def read(self, folder):
        handle = load(LLAMA.make(torch.float32), folder)
        own = {f"{path}.{name}": value for path, slot in handle.slots.items() for name, value in slot.own.items()}
        return own, handle.adapter, handle.seed

    def same(self, one, two):
        return equal(one[0], two[0]) and one[1:] == two[1:]


class Results:
    """``results.json``."""

    def make(self, folder, base, splits):
        arms = [{"name": f"lora-r{n}", "curve": [[i, i / 7] for i in range(9)], "label": "dấu"} for n in (1, 2)]
        write_document(folder / "results.json", {"results": {"arms": arms}, "cost": {"seconds": 1.5}})

    def read(self, folder):
        return read_document(folder / "results.json")

    def same(self, one, two):
        return one == two


class Merged:
    """A model with an adapter merged in, in several shards."""

    def make(self, folder, base, splits):
        model = base_folder(folder / "base")
        adapter_folder(model, folder / "a", lora(2), folder / "base")
        merge(str(folder / "base"), folder / "a", folder / "m", check=False)
        for path in (folder / "m").iterdir():
            path.rename(folder / path.name)
        for name in ("base", "a", "m"):
            shutil.rmtree(folder / name)
        (folder / "README.md").unlink()

    def read(self, folder):
        names = check_folder(folder)
        rest = {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (*names, "rankwise.sha256")}
        return {name: tensors_of(folder / name) for name in names}, rest

    def same(self, one, two):
        (shards, rest), (others, more) = one, two
        tensors = shards.keys() == others.keys() and all(equal(shards[k][0], others[k][0]) for k in shards)
        return tensors and rest == more


KINDS = [Checkpoint(), EndState(), Rows(), Saved(), Results(), Merged()]


def flip(path, draw):
    """Flip one bit: in the header or in the body, half and half, where a file has both."""
    raw = bytearray(path.read_bytes())
    begin, end = 0, len(raw)
    if path.suffix == ".safetensors" or path.name == "s":
        cut = 8 + struct.unpack("<Q", raw[:8])[0]
        begin, end = draw.choice([(0, cut), (cut, end)])
    place = draw.randrange(begin, end)
    raw[place] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)
    return f"{path.name}, byte {place}"


def undetected(kind, folder, expected, flips, scratch, seed=""):
    """Return the flips that were read as something else without a word; anything but our own error is raised."""
    found = []
    for number in range(flips):
        draw = random.Random(f"{type(kind).__name__}/{seed}{number}")
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(folder, scratch)
        where = flip(draw.choice(sorted(p for p in scratch.iterdir() if p.stat().st_size)), draw)
        try:
            read = kind.read(scratch)
        except RankwiseError:
            continue
        except Exception as error:
            raise AssertionError(f"flip {number} ({where}) ends in {error!r}") from error
        if not kind.same(expected, read):
            found.append(f"flip {number} ({where})")
    return found


def flip_all(scratch: Path, flips: int, seed: int) -> list[str]:
    """Flip so many bits, shared evenly among the kinds; return what was not detected, and what ended in a fault."""
    from rankwise.data import Limits, load_data
    from rankwise.models import load_base

    base: Any = load_base("tiny", dtype=torch.float32)
    splits = load_data("word-problems", base.tokenizer, limits=Limits(40, 8, 12))
    found = []
    for n, kind in enumerate(KINDS):
        folder = scratch / type(kind).__name__
        folder.mkdir(parents=True)
        kind.make(folder, base, splits)
        share = flips // len(KINDS) + (n < flips % len(KINDS))
        try:
            missed = undetected(kind, folder, kind.read(folder), share, scratch / "flipped", f"{seed}/")
        except AssertionError as error:
            missed = [str(error)]
        found += [f"{type(kind).__name__}: {text}" for text in missed]
    return found
