"""How soon the sequential verdict decides, and what it costs or saves to stop where going on looks futile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from docs.sequential.rule import BOTH, PARTS, Flags, Looks, look_at, moved, picked, said
from docs.sequential.walk import ONE_LOOK, Setting, walks
from docs.simulation import MARGIN
from rankwise.stats.looks import HORIZON
from rankwise.stats.planning import predictive_power
from rankwise.stats.verdict import ERROR
from rankwise.studies.running.deciding import HOPELESS

REGRETS = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0)  # in margins


@dataclass(frozen=True)
class Power:
    """Shares in [0, 1] at one regret, both contrasts standing alike.

    Attributes:
        regret: of the arm, in margins.
        match, short, seeds: with looks after every seed; ``seeds`` is the mean until something is said or given up.
        match_obeyed, short_obeyed, seeds_obeyed: stopping where it is futile.
        match_once, short_once: one planned look, after 3, 5, 8 and 12 seeds.
    """

    noise: str
    examples: int
    paired: bool
    replicates: int
    regret: float
    match: float
    short: float
    seeds: float
    match_obeyed: float
    short_obeyed: float
    seeds_obeyed: float
    match_once: tuple[float, ...]
    short_once: tuple[float, ...]


def power(setting: Setting, replicates: int, *, seed: int = 0) -> tuple[Power, ...]:
    """Simulate one setting at every regret; the same draws serve them all."""
    (walk,) = walks(setting, replicates, setting.stream(seed, 1))
    looks = list(setting.looks)
    rows = []
    for regret in REGRETS:
        free = said(walk.at, looks, regret=regret)
        obeyed = said(walk.at, looks, regret=regret, gave_up=futile(walk.at, looks, regret, free.seeds))
        once = [said(walk.once, [n], regret=regret, planned_once=True) for n in ONE_LOOK]
        rows.append(
            Power(
                *(setting.noise, setting.examples, setting.paired, replicates, regret),
                *(float(np.mean(x)) for f in (free, obeyed) for x in (f.match, f.short, f.seeds)),
                tuple(float(np.mean(s.match)) for s in once),
                tuple(float(np.mean(s.short)) for s in once),
            )
        )
    return tuple(rows)


def futile(at: Looks, looks: list[int], regret: float, decided: np.ndarray) -> dict[int, Flags]:
    """By look, where `chance_to_decide` at the last planned look is below ``HOPELESS``. ``decided``: seeds after which
    nobody asks any more."""
    last = look_at(HORIZON)
    alone, shared = last.level(ERROR), last.level(ERROR / PARTS)
    out = {n: np.zeros(len(decided), dtype=bool) for n in looks}
    asking = np.arange(len(decided))
    for n in (n for n in looks if n < HORIZON):
        asking = asking[decided[asking] > n]
        stop = []
        for i in asking:
            here = [moved(picked(at[n][c], i), (regret - 1) * MARGIN) for c in BOTH]
            below = min(predictive_power(e, HORIZON - n, alone)[0] for e in here)
            above = max(predictive_power(e, HORIZON - n, shared)[1] for e in here)
            stop.append(max(below, above) < HOPELESS)
        out[n][asking[stop]] = True
        asking = asking[~np.array(stop, dtype=bool)]
    return out
