"""The four conditions of a calibration: what trains at which rate for how many steps, found on the selection split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rankwise.adapters import Adapter, Full
from rankwise.data import Splits
from rankwise.engine import Forward, TrainSpec, evaluate, train
from rankwise.errors import RunError
from rankwise.methods import lora
from rankwise.models import Base

FULL, RANK_4, RANK_16, EARLY = "full", "lora-r4", "lora-r16", "full-early"
CONDITIONS = (FULL, RANK_4, RANK_16, EARLY)
TARGETS: dict[str, Adapter | Full] = {FULL: Full(), RANK_4: lora(rank=4), RANK_16: lora(rank=16)}
RATES = {
    FULL: (5e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 6e-3),
    RANK_4: (1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1.2e-2),
    RANK_16: (1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1.2e-2),
}
SEARCH_SEEDS = (1_000_001, 1_000_002, 1_000_003)  # no run of a pool has one of these
EARLY_SEEDS = tuple(range(1_000_011, 1_000_019))
MARGIN, ABOVE, FLOOR = 0.05, 0.10, 0.01


@dataclass(frozen=True)
class Recipe:
    """What is trained under each name of CONDITIONS; ``search`` is how it was found, as plain JSON."""

    lr: dict[str, float]
    steps: int
    early_step: int
    batch: int
    search: dict[str, Any]

    def spec(self, condition: str, seed: int) -> TrainSpec:
        """One run, scored at its end only."""
        if condition == EARLY:
            return replace(self.spec(FULL, seed), steps=self.early_step, eval_steps=(self.early_step,))
        return TrainSpec(TARGETS[condition], self.lr[condition], self.steps, self.batch, self.batch, seed=seed)


def boundary(reference: float, base: float) -> dict[str, float]:
    """Losses per token at which an arm stands exactly at a bound: 95 % of the gain, and 10 % + 0.01 above."""
    return {"gain": (1 - MARGIN) * reference + MARGIN * base, "loss": (1 + ABOVE) * reference + FLOOR}


def search(
    base: Base, splits: Splits, forward: Forward, *, steps: int, batch: int, tell: Callable[[str], None] = print
) -> Recipe:
    """Pick each rate by its mean selection loss over three seeds; then where full fine-tuning stops early.

    The early step is the one whose mean loss over eight seeds stands nearest to the tighter of the two bounds.

    Raises:
        RunError: every rate of a condition diverged.
    """
    grid = {name: {lr: _mean(base, splits, forward, name, lr, steps, batch) for lr in RATES[name]} for name in TARGETS}
    best = {name: min(found, key=lambda lr: found[lr]) for name, found in grid.items()}
    for name, lr in best.items():
        if not np.isfinite(grid[name][lr]):
            raise RunError(f"calibration: {name} diverged at every rate of {RATES[name]}.")
        tell(f"{name}: rate {lr:g}, selection NLL {grid[name][lr]:.4f}")
    curve = np.mean([_curve(base, splits, forward, best[FULL], steps, batch, seed) for seed in EARLY_SEEDS], axis=0)
    start = evaluate(forward, splits.selection).mean
    bound = min(boundary(float(curve[-1]), start).values())
    early = int(np.argmin(np.abs(curve[:-1] - bound))) + 1
    tell(f"full fine-tuning stopped early: after step {early} of {steps}, {curve[early - 1]:.4f} beside {bound:.4f}")
    found = {
        "untrained": start,
        "selection_nll": {name: {f"{lr:g}": nll for lr, nll in rates.items()} for name, rates in grid.items()},
        "full_curve": [float(nll) for nll in curve],
        "bounds": boundary(float(curve[-1]), start),
    }
    return Recipe(best, steps, early, batch, found)


def _mean(base: Base, splits: Splits, forward: Forward, name: str, lr: float, steps: int, batch: int) -> float:
    found = []
    for seed in SEARCH_SEEDS:
        spec = TrainSpec(TARGETS[name], lr, steps, batch, batch, seed=seed)
        nll = train(base, spec, splits, forward=forward).selection_nll
        found.append(np.inf if nll is None else nll)
    return float(np.mean(found))


def _curve(base: Base, splits: Splits, forward: Forward, lr: float, steps: int, batch: int, seed: int) -> list[float]:
    spec = TrainSpec(Full(), lr, steps, batch, batch, eval_steps=tuple(range(1, steps + 1)), seed=seed)
    return [nll for _, nll in train(base, spec, splits, forward=forward).curve]
