"""How often the sequential verdict is wrong when the arm stands exactly where a wrong word is likeliest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from docs.sequential.rule import BOTH, Looks, covers, said, unguarded
from docs.sequential.walk import CLOSE, GAIN, ONE_LOOK, REGRET, Setting, Walk, walks
from rankwise.stats.looks import HORIZON
from rankwise.stats.scores import FloatArray

BY_HAND = (3, 6)  # looks of somebody who types --seeds 3 and then --seeds 6
PROMISING = 0.1  # a one-sided p-value that tempts people to go on


@dataclass(frozen=True)
class Cell:
    """Shares of replicates, in [0, 1]; False claims are at the boundary, looks after every seed unless named otherwise.

    Attributes:
        match: false "matches", the worst of only the gain, only the loss, and both standing at the boundary.
        short: false "falls short", the worst of the same three.
        short_gain_only: false "falls short" under a margin that asks for the gain alone.
        beats: false "beats" at a regret of exactly 0.
        match_by_hand, short_by_hand: with looks at 3 and 6 seeds only.
        match_promising, short_promising: going on to ``seeds`` when the last planned look looked promising.
        match_extended, short_extended: going on to ``seeds`` whenever nothing was said.
        covered: the shown intervals of all looks together, the worst contrast.
        covered_at_stop: the interval shown when the study stops, the worst contrast.
        match_unguarded, short_unguarded: as ``match`` and ``short`` without the guard on skewness.
        match_tuned: false "matches" if the claim were about the best learning rates of both sides.
        match_once, short_once: one planned look, after 3, 5, 8 and 12 seeds.
        match_relooked, short_relooked: those four looks, each taken as if it were the only one.
    """

    noise: str
    examples: int
    paired: bool
    effects: str
    seeds: int
    replicates: int
    match: float
    short: float
    short_gain_only: float
    beats: float
    match_by_hand: float
    short_by_hand: float
    match_promising: float
    short_promising: float
    match_extended: float
    short_extended: float
    covered: float
    covered_at_stop: float
    match_unguarded: float
    short_unguarded: float
    match_tuned: float
    match_once: tuple[float, ...]
    short_once: tuple[float, ...]
    match_relooked: float
    short_relooked: float

    @property
    def setting(self) -> Setting:
        """What was simulated."""
        return Setting(self.noise, self.examples, self.paired, self.effects, self.seeds)


def cell(setting: Setting, replicates: int, *, seed: int = 0) -> Cell:
    """Simulate one cell with its own random stream: it does not depend on what else is simulated."""
    (walk,) = walks(setting, replicates, setting.stream(seed))
    return rates(walk, setting)


def rates(walk: Walk, setting: Setting) -> Cell:
    """Count."""
    looks = list(setting.looks)
    planned = [n for n in looks if n <= HORIZON]
    once = [n for n in ONE_LOOK if n <= setting.seeds]
    stands = ((GAIN,), (CLOSE,), BOTH)

    def worst(of: list[int], at: Looks = walk.at) -> tuple[float, float]:
        found = [said(at, of, binding=binding) for binding in stands]
        return max(_share(f.match) for f in found), max(_share(f.short) for f in found)

    match, short = worst(planned)
    match_by_hand, short_by_hand = worst(list(BY_HAND))
    match_extended, short_extended = worst(looks) if looks != planned else (match, short)
    match_unguarded, short_unguarded = worst(planned, {n: [unguarded(e) for e in walk.at[n]] for n in planned})
    promising = [_promising(walk, looks, planned, binding) for binding in stands]
    at_stop = said(walk.at, planned).seeds
    covered = {c: covers(walk.at, planned, c) for c in (*BOTH, REGRET)}
    rows = np.searchsorted(planned, at_stop)
    alone = [said(walk.once, [n], planned_once=True, binding=(GAIN,)) for n in once]
    alone_both = [said(walk.once, [n], planned_once=True) for n in once]
    return Cell(
        *(setting.noise, setting.examples, setting.paired, setting.effects, setting.seeds),
        replicates=len(at_stop),
        match=match,
        short=short,
        short_gain_only=_share(said(walk.at, planned, binding=(GAIN,), parts=1).short),
        beats=_share(said(walk.at, planned, regret=0.0).beats),
        match_by_hand=match_by_hand,
        short_by_hand=short_by_hand,
        match_promising=max(m for m, _ in promising),
        short_promising=max(s for _, s in promising),
        match_extended=match_extended,
        short_extended=short_extended,
        covered=min(_share(c.all(axis=0)) for c in covered.values()),
        covered_at_stop=min(_share(c[rows, np.arange(len(rows))]) for c in covered.values()),
        match_unguarded=match_unguarded,
        short_unguarded=short_unguarded,
        match_tuned=_share(said(walk.at, planned, binding=(GAIN,), tuned=walk.tuned).match),
        match_once=tuple(_share(s.match) for s in alone),
        short_once=tuple(_share(s.short) for s in alone_both),
        match_relooked=_share(said(walk.once, once, planned_once=True, binding=(GAIN,)).match),
        short_relooked=_share(said(walk.once, once, planned_once=True).short),
    )


def _promising(walk: Walk, looks: list[int], planned: list[int], binding: tuple[int, ...]) -> tuple[float, float]:
    """False claims of whoever goes on beyond the plan only where its last look was close to saying something."""
    last = walk.at[planned[-1]]
    below = np.max([last[c].p_below() for c in binding], axis=0)
    above = np.min([last[c].p_above() for c in binding], axis=0)
    dull = np.minimum(below, above) > PROMISING
    gave_up = {n: dull if n == planned[-1] else np.zeros_like(dull) for n in looks}
    found = said(walk.at, looks, binding=binding, gave_up=gave_up)
    return _share(found.match), _share(found.short)


def _share(flags: FloatArray) -> float:
    return float(np.mean(flags))
