"""Choosing a learning rate from scores, and where to look next. Pure functions of the scores.

A score is a selection NLL, all of one step; None stands for a rate that is known to be worse (it diverged, or it was
stopped because others were better), which brackets as well as a worse score does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NllByRate = Mapping[float, float | None]
Edge = Literal["inside", "low", "high"]
FACTOR = 3.0


def best_rate(scores: NllByRate) -> float | None:
    """Return the learning rate with the lowest selection NLL; None when every run diverged or failed."""
    finite = {lr: nll for lr, nll in scores.items() if nll is not None}
    return min(finite, key=lambda lr: (finite[lr], lr)) if finite else None


def edge(scores: NllByRate) -> Edge:
    """Return where the best rate lies. A neighbor that diverged brackets it as well as a worse one does."""
    rates = sorted(scores)
    best = best_rate(scores)
    if best is None:
        return "low"  # everything diverged: look lower
    if best == rates[0]:
        return "low"
    return "high" if best == rates[-1] else "inside"


def next_rate(scores: NllByRate) -> float | None:
    """Return one new rate beyond the edge the best one is at, by a factor of 3; None when it is bracketed."""
    where = edge(scores)
    if where == "inside":
        return None
    rates = sorted(scores)
    new = rates[0] / FACTOR if where == "low" else rates[-1] * FACTOR
    return float(f"{new:.0e}")  # 3e-05, not 3.3333e-05: rates are read and typed by people


@dataclass(frozen=True)
class Fit:
    """A parabola through three scores: NLL = c0 + c1 x + c2 x^2 with x = log10 of the rate.

    Attributes:
        lr: its lowest point, rounded to two digits.
        nll: its value there, before rounding.
        coefficients: c0, c1, c2.
    """

    lr: float
    nll: float
    coefficients: tuple[float, float, float]


def fit_rate(scores: NllByRate) -> Fit | None:
    """Fit the best rate and its two neighbors; None unless all three have scores and the parabola opens upward.

    The lowest point then lies between the middles of the two intervals, so nothing is extrapolated.
    """
    best = best_rate(scores)
    if best is None or edge(scores) != "inside":
        return None
    rates = sorted(scores)
    at = rates.index(best)
    near = rates[at - 1 : at + 2]
    found = [scores[lr] for lr in near]
    y = [nll for nll in found if nll is not None]
    if len(y) < 3:
        return None
    x = [math.log10(lr) - math.log10(best) for lr in near]  # around the best, where the numbers are small
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    c2 = (right - left) / (x[2] - x[0])
    if c2 <= 0:
        return None
    c1 = left + c2 * (x[1] - x[0])  # the slope at the best rate, x = 0
    low = -c1 / (2 * c2)
    shift = math.log10(best)
    coefficients = (y[1] - c1 * shift + c2 * shift**2, c1 - 2 * c2 * shift, c2)
    return Fit(float(f"{10 ** (low + shift):.1e}"), y[1] + c1 * low + c2 * low**2, coefficients)


def refined_rate(scores: NllByRate, start: float, share: float) -> float | None:
    """Return the fitted optimum when it promises more than ``share`` of the gain; None when it does not.

    Args:
        start: selection NLL of the untouched model; the gain is from there to the best score.
    """
    fit, best = fit_rate(scores), best_rate(scores)
    if fit is None or best is None or fit.lr in scores:
        return None
    nll = scores[best]
    assert nll is not None
    return fit.lr if nll - fit.nll > share * (start - nll) > 0 else None


def another_rate(scores: NllByRate) -> float | None:
    """Return the most useful untested rate: beyond an edge, at the fitted optimum, or beside the best; None if none."""
    beyond = next_rate(scores)
    if beyond is not None:
        return beyond
    fit, best = fit_rate(scores), best_rate(scores)
    if fit is not None and fit.lr not in scores:
        return fit.lr
    assert best is not None
    rates = sorted(scores)
    at = rates.index(best)
    sides = sorted((rates[at - 1], rates[at + 1]), key=lambda lr: (_or_worst(scores[lr]), lr))
    middles = [float(f"{math.sqrt(best * side):.1e}") for side in sides]
    return next((lr for lr in middles if lr not in scores), None)


def _or_worst(nll: float | None) -> float:
    return math.inf if nll is None else nll
