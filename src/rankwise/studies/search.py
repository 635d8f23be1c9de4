"""Choosing a learning rate from finished runs, and where to look next. Pure functions of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Edge = Literal["inside", "low", "high"]
FACTOR = 3.0


def best_rate(scores: Mapping[float, float | None]) -> float | None:
    """Return the learning rate with the lowest selection NLL; None when every run diverged or failed."""
    finite = {lr: nll for lr, nll in scores.items() if nll is not None}
    return min(finite, key=lambda lr: (finite[lr], lr)) if finite else None


def edge(scores: Mapping[float, float | None]) -> Edge:
    """Return where the best rate lies. A neighbor that diverged brackets it as well as a worse one does."""
    rates = sorted(scores)
    best = best_rate(scores)
    if best is None:
        return "low"  # everything diverged: look lower
    if best == rates[0]:
        return "low"
    return "high" if best == rates[-1] else "inside"


def next_rate(scores: Mapping[float, float | None]) -> float | None:
    """Return one new rate beyond the edge the best one is at, by a factor of 3; None when it is bracketed."""
    where = edge(scores)
    if where == "inside":
        return None
    rates = sorted(scores)
    new = rates[0] / FACTOR if where == "low" else rates[-1] * FACTOR
    return float(f"{new:.0e}")  # 3e-05, not 3.3333e-05: rates are read and typed by people
