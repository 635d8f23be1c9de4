"""How many more seeds or test examples would decide, if the estimate and the variance components stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from rankwise.stats.crossed import FEWEST_SEEDS, Estimate, reach

_MOST_SEEDS = 1_000  # beyond these nobody will run it: the same as never
_MOST_EXAMPLES = 1_000_000
MOST_LOOKS = 60  # the level of a look takes a step of integration for each look before it
Level = Callable[[int], float]  # one-sided level of a look at so many seeds


@dataclass(frozen=True)
class Needs:
    """Either number alone would decide; None when no realistic number of that kind would."""

    more_seeds: int | None
    more_examples: int | None

    def __str__(self) -> str:
        parts = [
            f"{count} more {kind}{'' if count == 1 else 's'}"
            for count, kind in ((self.more_seeds, "seed"), (self.more_examples, "test example"))
            if count is not None
        ]
        if parts:
            return "about " + " or ".join(parts)
        return "more seeds and more test examples together, since neither alone would decide"


def needs(now: Estimate, tail: float | Level = 0.025) -> Needs:
    """Seeds (per arm, all groups alike) or examples that bring the one-sided ``tail`` bound to the other side of 0.

    Planning formula: the variance of `Estimate` with S + k seeds or N + k examples, and Satterthwaite's df for
    it. When seeds were held fixed (one or two), the claim stays "for these seeds": examples are planned
    for these seeds and more seeds towards a claim about all seeds. ``tail``: one level, or that of a look by its seeds.
    """
    if float(now.estimate) == 0:
        return Needs(None, None)
    level = tail if callable(tail) else _constant(tail)

    def decides(more_seeds: int, more_examples: int) -> bool:
        fixed = now.for_these_seeds and more_seeds == 0
        se, df = _planned(now, more_seeds, more_examples, fixed)
        t = stdtrit(df, 1 - level(min(now.seeds) + more_seeds))
        skew = np.sign(now.estimate) * _planned_skew(now, se, more_examples)
        return bool(reach(t, skew) * se < abs(float(now.estimate)))

    first = max(1, FEWEST_SEEDS - min(now.seeds)) if now.for_these_seeds else 1
    most = _MOST_SEEDS if not callable(tail) else first + MOST_LOOKS
    seeds: int | None = None
    if _knows_seeds(now):
        seeds = (
            next((k for k in range(first, most + 1) if decides(k, 0)), None)  # levels fall behind the horizon
            if callable(tail)
            else _smallest(lambda k: decides(k, 0), first, most)
        )
    return Needs(seeds, _smallest(lambda k: decides(0, k), 1, _MOST_EXAMPLES))


def together(several: Sequence[Needs]) -> Needs:
    """Return what decides all of several questions."""
    return Needs(_most([n.more_seeds for n in several]), _most([n.more_examples for n in several]))


def predictive_power(now: Estimate, more_seeds: int, tail: float) -> tuple[float, float]:
    """Chances that the contrast is found below, and above, 0 at one look after ``more_seeds``, from where it stands.

    Increments are taken to be normal and independent, and nothing is known of the contrast but its estimate: a flat
    prior (Spiegelhalter, Freedman and Blackburn 1986; Jennison and Turnbull 2000, chapter 10). Conditional power, which
    takes the estimate for the truth, gives up after three seeds where it should not.
    """
    se_now, _ = _planned(now, 0, 0, now.for_these_seeds)
    se, df = _planned(now, more_seeds, 0, fixed=False)
    t = stdtrit(df, 1 - tail)
    if se == 0:
        return float(now.estimate < 0), float(now.estimate > 0)
    left = np.sqrt(max(se_now**2 - se**2, 1e-9 * se**2))
    skew = _planned_skew(now, se, 0)
    here = float(now.estimate)
    return float(ndtr((-reach(t, -skew) * se - here) / left)), float(ndtr((here - reach(t, skew) * se) / left))


def _constant(level: float) -> Level:
    return lambda seeds: level


def _most(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return max(known) if known and len(known) == len(counts) else None


def _knows_seeds(now: Estimate) -> bool:
    """One run per group carries no information on seed noise, so no number of seeds can be planned."""
    return min(now.seeds) > 1


def _planned(now: Estimate, more_seeds: int, more_examples: int, fixed: bool) -> tuple[float, float]:
    """Standard error and df with more seeds or examples."""
    n = now.examples + more_examples
    variance = float(now.example_var)
    seed_parts = []
    for s, seed_var, cross_var in zip(now.seeds, now.seed_var, now.cross_var, strict=True):
        variance += float(cross_var) / (s + more_seeds)
        seed_parts.append((float(seed_var) / (s + more_seeds), s + more_seeds - 1))
    example_part = variance / n
    if fixed:
        return float(np.sqrt(example_part)), n - 1.0
    total = example_part + sum(part for part, _ in seed_parts)
    if total == 0:
        return 0.0, n - 1.0
    spread = example_part**2 / (n - 1) + sum(part**2 / df for part, df in seed_parts)
    return float(np.sqrt(total)), total**2 / spread


def _planned_skew(now: Estimate, se: float, more_examples: int) -> float:
    """Skewness of the estimate with more examples and this standard error: its third cumulant falls as 1 / N^2."""
    cumulant = float(now.skew) * float(now.se) ** 3
    return cumulant * (now.examples / (now.examples + more_examples)) ** 2 / se**3 if se else 0.0


def _smallest(holds: Callable[[int], bool], first: int, most: int) -> int | None:
    """Smallest k in [first, most] for which a monotone condition holds, by bisection."""
    if holds(first):
        return first
    if not holds(most):
        return None
    low, high = first, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
