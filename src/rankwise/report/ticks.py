"""Where a finding's axes have their ticks: at the few values there are, and at round ones on a log axis."""

from __future__ import annotations

import math
from collections.abc import Iterable

FEW = 10  # distinct values; each of them gets a tick
MOST = 6  # labels of a log axis that are chosen here
ROUND = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))  # within each power of ten


def few(values: Iterable[float]) -> list[float] | None:
    """Return the distinct values in order, or None where they are more than ``FEW``."""
    found = sorted(set(values))
    return found if len(found) <= FEW else None


def log_ticks(low: float, high: float) -> list[float]:
    """Return round places between two positive numbers, three to six where there are; never fewer than two.

    One place if both are the same; the two ends where nothing round is between them.
    """
    if low == high:
        return [low]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for within in ROUND:
        found = [place for k in powers for m in within if low <= (place := float(f"{m}e{k}")) <= high]
        if len(found) >= 3:
            break
    if len(found) >= 2:
        return found[:: math.ceil(len(found) / MOST)]
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= max(m for m in (1, 2, 5) if m * step <= (high - low) / 2)
    digits = max(0, -math.floor(math.log10(step)))
    even = [round(k * step, digits) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return even if len(even) >= 2 else [low, high]
