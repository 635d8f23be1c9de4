"""What a study would have said: the rule of ``stats/verdict.py`` on many replicates at once.

``tests/stats/test_sequential.py`` holds it to `judge_all`, look by look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from docs.sequential.walk import CLOSE, GAIN, REGRET
from docs.simulation import MARGIN
from rankwise.stats.crossed import Estimate
from rankwise.stats.looks import HORIZON, Look
from rankwise.stats.scores import FloatArray
from rankwise.stats.verdict import ERROR

BOTH = (GAIN, CLOSE)
PARTS = len(BOTH)  # contrasts that share the error of "falls short"
Looks = Mapping[int, Sequence[Estimate]]
Flags = np.ndarray  # booleans over replicates


@dataclass(frozen=True)
class Said:
    """What was said, over replicates, and after how many seeds it was said or given up."""

    match: Flags
    short: Flags
    beats: Flags
    seeds: FloatArray


def look_at(seeds: int, *, planned_once: bool = False) -> Look:
    """A look of the sequential design, or the only one that was planned."""
    return Look(seeds, None if planned_once else HORIZON)


def moved(estimate: Estimate, by: float | FloatArray) -> Estimate:
    """The estimate had the truth been ``by`` higher: a shift of an arm's level changes no variance."""
    return replace(estimate, estimate=estimate.estimate + by)


def unguarded(estimate: Estimate) -> Estimate:
    """The estimate without the guard on skewness."""
    return replace(estimate, skew=np.zeros_like(estimate.skew))


def picked(estimate: Estimate, index: int | np.ndarray) -> Estimate:
    """Return the estimates of some replicates."""
    fields = ("estimate", "se", "df", "seed_var", "cross_var", "example_var", "skew")
    return replace(estimate, **{name: getattr(estimate, name)[..., index] for name in fields})


def said(
    at: Looks,
    looks: Sequence[int],
    *,
    regret: float = 1.0,
    binding: Sequence[int] = BOTH,
    planned_once: bool = False,
    parts: int = PARTS,
    tuned: float | FloatArray = 0.0,
    gave_up: Mapping[int, Flags] | None = None,
) -> Said:
    """Follow the looks until something is said.

    ``regret``: the arm's, in margins; 1 is the boundary. ``binding``: the contrasts that stand there; the others are
    so far below that they hold anyway, which is the worst case for "matches". ``parts``: contrasts over which "falls
    short" splits its error. ``gave_up``: by look, where a study stops unless it says something there.
    """
    count = at[looks[0]][GAIN].estimate.shape[-1]
    match, short, beats = (np.zeros(count, dtype=bool) for _ in range(3))
    seeds = np.full(count, float(looks[-1]))
    running = np.ones(count, dtype=bool)
    for n in looks:
        look = look_at(n, planned_once=planned_once)
        here = [moved(at[n][c], (regret - 1) * MARGIN + tuned) for c in binding]
        below = np.max([e.p_below() for e in here], axis=0) <= look.level(ERROR)
        above = np.min([e.p_above() for e in here], axis=0) <= look.level(ERROR / parts)
        matching = np.flatnonzero(running & below)
        lower = moved(picked(at[n][REGRET], matching), regret * MARGIN).p_below() <= look.level(ERROR)
        match[matching] = True
        beats[matching] = lower
        short |= running & above & ~below
        stops = running & (below | above | (gave_up[n] if gave_up else False))
        seeds[stops] = n
        running = running & ~stops
    return Said(match, short, beats, seeds)


def covers(at: Looks, looks: Sequence[int], contrast: int, *, planned_once: bool = False) -> FloatArray:
    """Whether the interval shown at each look covers the truth: (looks, replicates)."""
    rows = []
    for n in looks:
        shown = 1 - 2 * look_at(n, planned_once=planned_once).level(ERROR)
        low, high = at[n][contrast].interval(shown)
        rows.append((low <= 0) & (high >= 0))
    return np.array(rows)
