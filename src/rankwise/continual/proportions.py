"""Intervals of exact match, a share of questions: within 0 and 1, and never of no width because nothing varied.

The crossed interval of :mod:`rankwise.continual.metrics` has no width where 0 of n answers were right (or all), and
beside that it may leave [0, 1]. A share gets Wilson's interval, as in ``rankwise eval``, for as many questions as would
give the crossed standard error (a design effect, as for a sample in clusters). A change of shares keeps its crossed
interval unless all examples change alike; then its ends are as far off as those of a share of 0 of n.
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import stdtrit
from scipy.stats import norm

from rankwise.stats.single import wilson
from rankwise.studies.results.schema import Measure

NOTHING = 1e-12  # a width below it is rounding


def share_interval(found: Measure | None, sizes: Sequence[int], level: float) -> Measure | None:
    """Return ``found``, the mean of shares over tasks, with Wilson's interval.

    Args:
        found: estimate, low, high and for_these_seeds of :func:`rankwise.continual.metrics.interval`.
        sizes: test examples of every task.
    """
    if found is None:
        return None
    p, n, half = min(max(found["estimate"], 0.0), 1.0), sum(sizes), (found["high"] - found["low"]) / 2
    questions = balanced(sizes)
    if half > NOTHING:
        # With seeds as runs the few degrees of freedom widen the error; of examples alone there are enough for z.
        quantile = stdtrit(n - 1, 0.5 + level / 2) if found["for_these_seeds"] else norm.ppf(0.5 + level / 2)
        questions = p * (1 - p) / float(half / quantile) ** 2 * n / (n - 1)
    low, high = wilson(p * questions, questions, level)
    return {**found, "low": low, "high": high}


def change_interval(found: Measure | None, sizes: Sequence[int], level: float, *, same: bool) -> Measure | None:
    """Return ``found``, a mean change of shares, with an interval of some width unless nothing can change.

    Args:
        sizes: test examples of every task that counts.
        same: both sides are one and the same model (equal losses to the last bit), so the change is 0 anywhere.
    """
    if found is None or same or found["high"] - found["low"] > NOTHING:
        return found
    _, room = wilson(0.0, balanced(sizes), level)
    return {**found, "low": max(found["estimate"] - room, -1.0), "high": min(found["estimate"] + room, 1.0)}


def balanced(sizes: Sequence[int]) -> float:
    """Return how many examples a mean over tasks of these sizes is worth: all of them when the sizes are equal."""
    return len(sizes) ** 2 / sum(1 / size for size in sizes)
