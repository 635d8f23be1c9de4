"""All arms of a study together: is any claim wrong? Levels are passed between arms as ``stats/verdict.py`` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from benchmarks.calibration.looks import BOTH, Table
from benchmarks.calibration.recipe import RANK_4, RANK_16
from benchmarks.calibration.rules import LOOKS
from rankwise.stats.crossed import Estimate
from rankwise.stats.looks import HORIZON, Look
from rankwise.stats.multiplicity import claims
from rankwise.stats.scores import FloatArray
from rankwise.stats.verdict import ERROR

LADDER = (RANK_16, RANK_4)  # from the largest rank to the smallest


def family(found: Mapping[str, Table]) -> tuple[float, float]:
    """Shares of studies with a false "matches", and with a false "falls short", on any arm; all stand at both bounds.

    Looks go on after every seed whatever was said of other arms, and a claim that was made passes its level on.
    """
    below = _p(found, lambda e: e.p_below(), np.max)
    above = _p(found, lambda e: e.p_above(), np.min)
    studies = next(iter(found.values())).studies
    wrong = np.zeros((2, studies), dtype=bool)
    for study in range(studies):
        for kind, (p, parts, ladder) in enumerate(((below, 1, LADDER), (above, len(BOTH), LADDER[::-1]))):
            wrong[kind, study] = _any(p, study, parts, ladder)
    return float(wrong[0].mean()), float(wrong[1].mean())


def _p(
    found: Mapping[str, Table], one: Callable[[Estimate], FloatArray], over: Callable[..., FloatArray]
) -> dict[int, dict[str, FloatArray]]:
    return {n: {a: over([one(t.at[n][c]) for c in BOTH], axis=0) for a, t in found.items()} for n in LOOKS}


def _any(p: Mapping[int, Mapping[str, FloatArray]], study: int, parts: int, ladder: tuple[str, ...]) -> bool:
    """Whether anything is claimed at any look: at the boundary the first claim is wrong already."""
    for n in LOOKS:
        here = {arm: float(values[study]) for arm, values in p[n].items()}
        if min(here.values()) > ERROR / parts:
            continue
        level = partial(_level, n, parts)
        if claims(here, ERROR, (ladder,), level=level).allowed:
            return True
    return False


def _level(seeds: int, parts: int, error: float) -> float:
    return Look(seeds, HORIZON).level(error / parts)
