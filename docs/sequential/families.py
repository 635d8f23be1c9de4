"""Several arms under one reference: two that share the error by Holm, and a third one, added late as its own family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from docs.sequential.rule import BOTH, PARTS, Flags, look_at, said
from docs.sequential.walk import GAIN, Setting, Walk, walks
from rankwise.stats.looks import Look
from rankwise.stats.scores import FloatArray
from rankwise.stats.verdict import ERROR

ADDED_AFTER = 6  # seeds at which somebody adds the third arm, because neither of the two matched


@dataclass(frozen=True)
class Family:
    """Shares of replicates, in [0, 1], in which a family claims anything false; all arms stand at the boundary.

    Attributes:
        match, short: of the family of two.
        match_late, short_late: of the third arm, added in those studies where neither of the two had matched by then.
        match_any, short_any: of either family, which nothing bounds but the sum.
    """

    noise: str
    examples: int
    paired: bool
    replicates: int
    match: float
    short: float
    match_late: float
    short_late: float
    match_any: float
    short_any: float

    @property
    def setting(self) -> Setting:
        """What was simulated."""
        return Setting(self.noise, self.examples, self.paired)


def family(setting: Setting, replicates: int, *, seed: int = 0) -> Family:
    """Simulate one setting."""
    first, second, third = walks(setting, replicates, setting.stream(seed, 2), arms=3, once=())
    looks = list(setting.looks)
    rates = []
    # The worst case of "matches" is a margin of which only the gain is not met by far; of "falls short", both.
    for kind, binding in enumerate(((GAIN,), BOTH)):
        when = claimed((first, second), looks, binding)
        late = said(third.at, looks, binding=binding)
        wrong = np.isfinite(when[kind]).any(axis=0)
        wrong_late = (when[0] > ADDED_AFTER).all(axis=0) & (late.match, late.short)[kind]
        rates.append((wrong, wrong_late, wrong | wrong_late))
    return Family(
        *(setting.noise, setting.examples, setting.paired, replicates),
        *(float(np.mean(rates[kind][what])) for what in range(3) for kind in range(2)),
    )


def claimed(arms: tuple[Walk, Walk], looks: list[int], binding: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Seeds after which "matches", and "falls short", was said of each of two arms: (2, replicates), inf for never.

    An arm of which something was said is not tested again. A claim passes its half of the error to the other arm,
    within its kind.
    """
    count = arms[0].at[looks[0]][GAIN].estimate.shape[-1]
    match, short = (np.full((2, count), np.inf) for _ in range(2))
    for n in looks:
        look = look_at(n)
        open_ = np.isinf(match) & np.isinf(short)
        here = [[arm.at[n][c] for c in binding] for arm in arms]
        below = np.array([np.max([e.p_below() for e in own], axis=0) for own in here])
        above = np.array([np.min([e.p_above() for e in own], axis=0) for own in here])
        matched = _holm(np.where(open_, below, np.where(np.isfinite(match), 0.0, 1.0)), look, ERROR)
        fell = _holm(np.where(open_, above, np.where(np.isfinite(short), 0.0, 1.0)), look, ERROR / PARTS)
        match[open_ & matched] = n
        short[open_ & fell & ~matched] = n
    return match, short


def _holm(p: FloatArray, look: Look, error: float) -> Flags:
    """Which of two claims hold: either one at half of the error, both once one of them holds."""
    half = p <= look.level(error / 2)
    return half | (half[::-1] & (p <= look.level(error)))
