"""Pools: hundreds of runs of each condition, every one under a seed of its own, scored example by example.

A folder holds ``setup.json`` (model, data, recipe), ``base.safetensors`` (the untouched model) and a file for every ten
runs, ``lora-r4/0001-0010.safetensors``. Whoever is killed goes on at the file that was not finished. The seeds of all
conditions are 1, 2, 3, ..., so studies of the same seeds for both sides can be drawn, and studies of different ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration.recipe import CONDITIONS, Recipe
from rankwise.data import Splits
from rankwise.engine import Forward, evaluate, train
from rankwise.errors import RunError, UsageError
from rankwise.models import Base
from rankwise.reading.tensors import read_tensors
from rankwise.stats.scores import FloatArray
from rankwise.tensor_files import write_tensors

CHUNK = 10
_SELECTION = 16  # every run scores the selection split at its end; the pool has no use for it


@dataclass(frozen=True)
class Pool:
    """Sums of NLL over an example's target tokens: ``runs`` (R, N) by condition, ``base`` and ``tokens`` (N,)."""

    runs: dict[str, FloatArray]
    base: FloatArray
    tokens: FloatArray

    def mean(self, condition: str) -> float:
        """The truth: loss per token over all runs and examples."""
        rows = self.runs[condition]
        return float(rows.sum() / (len(rows) * self.tokens.sum()))

    @property
    def base_mean(self) -> float:
        """Loss per token of the untouched model."""
        return float(self.base.sum() / self.tokens.sum())


def fill(
    folder: Path,
    base: Base,
    splits: Splits,
    recipe: Recipe,
    forward: Forward,
    *,
    runs: int,
    key: str,
    tell: Callable[[str], None] = print,
    conditions: tuple[str, ...] = CONDITIONS,
) -> None:
    """Train and score what is missing of ``runs`` runs of each condition, taking turns between conditions.

    Args:
        key: of model, data and recipe, written into every file.

    Raises:
        RunError: a run diverged.
        UsageError: a file in the folder is of another key.
    """
    todo = [(name, seeds) for seeds in _chunks(runs) for name in conditions]
    todo = [(name, seeds) for name, seeds in todo if not _there(_file(folder, name, seeds), key)]
    if not _there(folder / "base.safetensors", key):
        score = evaluate(forward, splits.test)
        values = {"nll": torch.tensor(score.nll, dtype=torch.float64), "tokens": torch.tensor(score.targets)}
        write_tensors(folder / "base.safetensors", values, {"key": key})
    small = replace(splits, selection=splits.selection[:_SELECTION])
    started = time.monotonic()
    for done, (name, seeds) in enumerate(todo, start=1):
        rows, seconds = [], []
        for seed in seeds:
            before = time.monotonic()
            result = train(base, recipe.spec(name, seed), small, forward=forward, test=True)
            if result.test is None:
                raise RunError(f"calibration: {name}, seed {seed}, {result.status}: {result.reason}")
            rows.append(result.test.nll)
            seconds.append(time.monotonic() - before)
        values = {"nll": torch.tensor(rows, dtype=torch.float64), "seconds": torch.tensor(seconds)}
        write_tensors(_file(folder, name, seeds), values, {"key": key})
        left = (time.monotonic() - started) / done * (len(todo) - done) / 60
        tell(f"{done} of {len(todo)}: {name}, seeds {seeds[0]} to {seeds[-1]}; about {left:.0f} min left")


def read(folder: Path, runs: int, conditions: tuple[str, ...] = CONDITIONS) -> Pool:
    """Read a filled folder."""
    base = read_tensors(folder / "base.safetensors")
    found = {}
    for name in conditions:
        parts = [read_tensors(_file(folder, name, seeds))["nll"].numpy() for seeds in _chunks(runs)]
        found[name] = np.concatenate(parts)
    return Pool(found, base["nll"].numpy(), base["tokens"].double().numpy())


def seconds(folder: Path, runs: int) -> dict[str, float]:
    """Mean seconds of a run, its scoring included, by condition."""
    return {
        name: float(np.mean([read_tensors(_file(folder, name, s))["seconds"].numpy().mean() for s in _chunks(runs)]))
        for name in CONDITIONS
    }


def _chunks(runs: int) -> Iterator[tuple[int, ...]]:
    for first in range(1, runs + 1, CHUNK):
        yield tuple(range(first, min(first + CHUNK, runs + 1)))


def _file(folder: Path, condition: str, seeds: tuple[int, ...]) -> Path:
    return folder / condition / f"{seeds[0]:04d}-{seeds[-1]:04d}.safetensors"


def _there(path: Path, key: str) -> bool:
    from safetensors import safe_open

    if not path.exists():
        return False
    with safe_open(path, framework="np") as file:
        stated = (file.metadata() or {}).get("key")
    if stated != key:
        raise UsageError(f"{path} is of another model, data set or recipe; give another FOLDER.")
    return True
