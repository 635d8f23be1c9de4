"""What a study would have said: the rule of ``stats/verdict.py`` for one arm, over many studies at once.

A rule is a function (table, shift of every contrast) -> what was said, and after how many seeds. A shift is the true
value of the contrast that the arm is put at, in nats per token; 0 is the boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.looks import BOTH, KEEPS, ONE, REGRET, Table
from rankwise.stats.crossed import FEWEST_SEEDS, Estimate
from rankwise.stats.looks import HORIZON, Look
from rankwise.stats.verdict import ERROR

Flags = NDArray[np.bool_]
Shift = Mapping[str, float]
LOOKS = range(FEWEST_SEEDS, HORIZON + 1)
ONCE = (3, 5, 8, 12)


@dataclass(frozen=True)
class Said:
    """Over studies: which claim was made, and the seeds at which it was made or given up."""

    matches: Flags
    short: Flags
    beats: Flags
    seeds: NDArray[np.int64]

    @property
    def decided(self) -> Flags:
        """Whether the arm got a word."""
        return self.matches | self.short


Rule = Callable[[Table, Shift], Said]


def one_look(seeds: int, binding: tuple[str, ...] = ONE) -> Rule:
    """One planned look; ``binding`` says which contrasts make up the margin."""
    return lambda table, shift: _follow({seeds: table.once[seeds]}, lambda n: Look(n), binding, shift)


def looked_again(counts: tuple[int, ...] = ONCE, binding: tuple[str, ...] = ONE) -> Rule:
    """What nobody should do: the test made for one look, taken again at every one of ``counts``."""
    return lambda table, shift: _follow({n: table.once[n] for n in counts}, lambda n: Look(n), binding, shift)


def sequential(binding: tuple[str, ...] = BOTH, horizon: int = HORIZON) -> Rule:
    """A look after every seed from the third to the twelfth, sharing the error."""
    return lambda table, shift: _follow(table.at, lambda n: Look(n, horizon), binding, shift)


def _follow(
    at: Mapping[int, Mapping[str, Estimate]], look_at: Callable[[int], Look], binding: tuple[str, ...], shift: Shift
) -> Said:
    count = len(next(iter(at.values()))[KEEPS].estimate)
    matches, short, beats = (np.zeros(count, dtype=bool) for _ in range(3))
    running, seeds = np.ones(count, dtype=bool), np.full(count, max(at), dtype=np.int64)
    for n in sorted(at):
        look = look_at(n)
        here = [moved(at[n][name], shift[name]) for name in binding]
        below = running & (np.max([e.p_below() for e in here], axis=0) <= look.level(ERROR))
        above = running & ~below & (np.min([e.p_above() for e in here], axis=0) <= look.level(ERROR / len(binding)))
        matches |= below
        short |= above
        if REGRET in at[n]:
            beats |= below & (moved(at[n][REGRET], shift[REGRET]).p_below() <= look.level(ERROR))
        seeds[below | above] = n
        running &= ~(below | above)
    return Said(matches, short, beats, seeds)


def moved(estimate: Estimate, by: float) -> Estimate:
    """The estimate had the truth been ``by`` higher."""
    return replace(estimate, estimate=estimate.estimate + by)
