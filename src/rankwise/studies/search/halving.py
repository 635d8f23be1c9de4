"""Successive halving: which runs go on at a rung. Pure functions of curves, so a resumed study decides the same.

Jamieson and Talwalkar, 2016, arXiv 1502.07943, with rules of our own for learning rates: a run keeps the schedule of
its whole length, the first rung is at a fifth of it or later, at first each arm keeps two rates (the reference
always), and the selection split alone decides. A run that stops being finite ends at once, in the training loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rankwise.engine import RunResult
from rankwise.stats.margin import Margin
from rankwise.studies.search.finalists import Screened, choose_finalists
from rankwise.studies.search.rates import NllByRate

NEIGHBOR = 1.5  # a lower rate nearer than this factor would tell nothing new
GROWTH = 2  # each rung is at twice the steps of the one before it, or later


@dataclass(frozen=True)
class Stop:
    """A run that was stopped for good."""

    arm: str
    lr: float
    step: int
    reason: str


@dataclass(frozen=True)
class Rung:
    """What happened at one rung: runs compared there, and how many went on."""

    step: int
    runs: int
    kept: int


def rung_steps(eval_steps: Sequence[int], steps: int, first: float) -> tuple[int, ...]:
    """Return the evaluation steps at which runs are compared: none when all are too early or too late."""
    rungs: list[int] = []
    least = first * steps
    for step in sorted(eval_steps):
        if least <= step < steps:
            rungs.append(step)
            least = GROWTH * step
    return tuple(rungs)


def score_at(run: RunResult | None, step: int) -> float | None:
    """Return the lowest selection NLL up to ``step``; None when the run failed or diverged before it.

    Read off the curve, so it does not matter how far the run has been trained by now.
    """
    points = [] if run is None else [point for point in run.curve if point[0] <= step]
    return min(nll for _, nll in points) if points and points[-1][0] == step else None


def keep_rates(scores: NllByRate, eta: float, *, first: bool, reference: bool = False) -> list[float]:
    """Return the rates of one arm that go on, ascending: 1 in ``eta``, rounded up; two at least at first.

    The reference, whose rate every verdict rests on, keeps two at every rung. Early scores favor high rates, and the
    optimum moves down while a run trains, so the second place is not the second best's but a lower neighbor's.
    """
    ranked = [lr for _, lr in sorted((nll, lr) for lr, nll in scores.items() if nll is not None)]
    count = max(2 if first or reference else 1, math.ceil(len(scores) / eta))
    if count > 1 and (lower := max((lr for lr in ranked if lr * NEIGHBOR <= ranked[0]), default=None)):
        ranked = [ranked[0], lower, *(lr for lr in ranked[1:] if lr != lower)]
    return sorted(ranked[:count])


def keep_arms(
    best: Mapping[str, float | None],
    trainable: Mapping[str, int],
    reference: float | None,
    start: float,
    *,
    margin: Margin,
    eta: float,
    finalists: int,
    first: bool,
) -> list[str]:
    """Return the arms that go on: 1 in ``eta``, but all finalists and at first one more, chosen as finalists are.

    Args:
        best: by candidate arm, its best score at this rung; None when all its rates diverged.
        trainable: by arm, its parameters: the price, as operations are counted at a run's end only.
        reference, start: scores of the reference at this rung and of the untouched model.
    """
    if reference is None:
        return list(best)
    screened = [Screened(name, nll, 0, trainable[name]) for name, nll in best.items() if nll is not None]
    count = max(finalists + first, math.ceil(len(best) / eta))
    return choose_finalists(screened, reference, start, margin, count)


def cut(run: RunResult, step: int) -> RunResult:
    """Return the run as it was at ``step``: what a study that stopped it there may show of it."""
    if run.status == "diverged" and len(run.losses) < step:
        return run
    curve = [point for point in run.curve if point[0] <= step]
    low = min(curve, key=lambda point: (point[1], point[0]), default=None)
    return replace(
        run,
        status="paused",
        reason=None,
        curve=curve,
        losses=run.losses[:step],
        best_step=low[0] if low else None,
        selection=None,
        test=None,
        test_final=None,
    )


def examples_until(batch: int, n: int, steps: int) -> int:
    """Count the training examples that ``steps`` steps of a run read, of ``n`` in the split."""
    epochs, rest = divmod(steps, math.ceil(n / batch))  # an epoch's last step reads what is left
    return epochs * n + rest * batch
