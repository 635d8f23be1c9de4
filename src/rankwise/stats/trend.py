"""Whether the gap to the reference is still widening at the end of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from rankwise.errors import UsageError


@dataclass(frozen=True)
class Trend:
    """Slope of the regret in nats per token per ``per_steps`` steps, with its 95 % interval over seeds."""

    slope: float
    low: float
    high: float
    per_steps: int

    @property
    def widening(self) -> bool:
        """Whether the gap clearly grows: longer training may reverse a verdict, so do not extrapolate."""
        return self.low > 0


def trend(steps: ArrayLike, arm: ArrayLike, reference: ArrayLike, *, paired: bool, per_steps: int = 10) -> Trend | None:
    """Fit the regret's slope over the last third of training (steps at or after two thirds of the last).

    ``steps``: (T,) increasing, shared by all curves; ``arm``: (S, T) and ``reference``: (S', T) mean losses, one
    row per seed and, when ``paired``, in the same seed order. Each seed gives one least-squares slope; t over seeds
    (Welch when unpaired), conditional on the examples the curves were measured on. None when fewer than two
    points lie in the last third or a side has fewer than two seeds. Raises UsageError when shapes disagree.
    """
    x = np.asarray(steps, dtype=np.float64)
    a, r = (np.atleast_2d(np.asarray(c, dtype=np.float64)) for c in (arm, reference))
    if a.shape[1:] != x.shape or r.shape[1:] != x.shape or (paired and a.shape != r.shape):
        raise UsageError(
            f"trend: curves must share the {x.size} steps (and seeds when paired); found {a.shape} and {r.shape}."
        )
    late = x >= 2 * x[-1] / 3
    if late.sum() < 2:
        return None
    x = x[late] - x[late].mean()
    sides = [a[:, late] - r[:, late]] if paired else [a[:, late], -r[:, late]]
    if min(len(side) for side in sides) < 2:
        return None
    slope, variance, spread = 0.0, 0.0, 0.0
    for side in sides:
        slopes = side @ x / (x @ x) * per_steps
        part = float(slopes.var(ddof=1)) / len(slopes)
        slope, variance = slope + float(slopes.mean()), variance + part
        spread += part**2 / (len(slopes) - 1)
    half = float(stdtrit(variance**2 / spread, 0.975) * np.sqrt(variance)) if spread > 0 else 0.0
    return Trend(slope, slope - half, slope + half, per_steps)
