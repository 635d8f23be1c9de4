"""How often a word is wrong at the boundary, with intervals by resampling the pool; and what is said as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.calibration.draws import AGAIN, draw, resampled
from benchmarks.calibration.families import family
from benchmarks.calibration.looks import BOTH, CONTRASTS, ONE, Table, table
from benchmarks.calibration.pool import Pool
from benchmarks.calibration.recipe import EARLY, RANK_4, RANK_16
from benchmarks.calibration.rules import LOOKS, ONCE, Rule, Shift, looked_again, one_look, sequential
from rankwise.stats.single import wilson

ARMS = (AGAIN, RANK_4, RANK_16, EARLY)
ZERO = dict.fromkeys(CONTRASTS, 0.0)


@dataclass(frozen=True)
class Plan:
    """How much is drawn. ``resamples``: pools drawn from the pool, each giving ``resample_studies`` studies."""

    examples: tuple[int, ...] = (96, 256, 1000)
    studies: int = 1200
    resamples: int = 60
    resample_studies: int = 300
    seed: int = 0

    def stream(self, *more: int) -> np.random.Generator:
        """Random numbers of one part, whatever else is drawn."""
        return np.random.default_rng([self.seed, *more])


def at_tighter(truth: Mapping[str, float]) -> Shift:
    """Where the contrasts stand when the arm is moved until the tighter of the two bounds is reached exactly."""
    by = max(truth[name] for name in BOTH)
    return {name: value - by for name, value in truth.items()}


def as_it_is(truth: Mapping[str, float]) -> Shift:
    """No shift at all."""
    return truth


# Name -> rule, and where the arm is put. At ZERO every contrast of the margin is exactly at its bound.
BOUNDARY: dict[str, tuple[Rule, Callable[[Mapping[str, float]], Shift]]] = {
    **{f"once at {n}": (one_look(n, ONE), lambda truth: ZERO) for n in ONCE},
    "again at 3, 5, 8, 12": (looked_again(ONCE, ONE), lambda truth: ZERO),
    "sequential, gain only": (sequential(ONE), lambda truth: ZERO),
    "sequential, tighter bound": (sequential(BOTH), at_tighter),
    "sequential, both bounds": (sequential(BOTH), lambda truth: ZERO),
}


def tables(
    pool: Pool,
    rng: np.random.Generator,
    studies: int,
    examples: int,
    same: bool,
    names: Sequence[str] = tuple(CONTRASTS),
) -> dict[str, Table]:
    """Draw studies of all four arms against one reference and estimate what they see."""
    drawn = draw(pool, ARMS, rng, studies=studies, seeds=LOOKS[-1], examples=examples, same=same)
    return {arm: table(pool, own, LOOKS, ONCE, names) for arm, own in drawn.items()}


def counted(found: Mapping[str, Table]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the shares of false "matches" and false "falls short" by (arm, rule); "any arm": of a whole study."""
    rates = {}
    for arm, own in found.items():
        for name, (rule, place) in BOUNDARY.items():
            said = rule(own, place(own.truth))
            rates[arm, name] = float(said.matches.mean()), float(said.short.mean())
    rates["any arm", "sequential, both bounds"] = family(found)
    return rates


def boundary_rates(pool: Pool, plan: Plan, tell: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """False claims of every rule at its boundary, by arm, examples and seeds, with intervals."""
    rows = []
    for same in (True, False):
        for examples in plan.examples:
            here = counted(tables(pool, plan.stream(1, same, examples), plan.studies, examples, same, BOTH))
            again = _resampled_rates(pool, plan, examples, same)
            for (arm, rule), rates in here.items():
                if arm == AGAIN and not same:
                    continue  # always under other seeds: the same row as above
                row: dict[str, Any] = {"arm": arm, "rule": rule, "examples": examples}
                row["paired"] = same and arm != AGAIN
                for kind, name in enumerate(("matches", "falls_short")):
                    others = np.array([rates[arm, rule][kind] for rates in again])
                    row[name] = _with_interval(rates[kind], others, plan)
                rows.append(row)
            tell(f"boundary: {examples} examples, {'same' if same else 'other'} seeds")
    return rows


def unshifted(pool: Pool, plan: Plan) -> list[dict[str, Any]]:
    """What is said of the arms as they are: which share is decided, after how many seeds, and is the word right."""
    rules: dict[str, tuple[Rule, tuple[str, ...]]] = {
        **{f"once at {n}": (one_look(n, ONE), ONE) for n in ONCE},
        "sequential, gain only": (sequential(ONE), ONE),
        "sequential": (sequential(BOTH), BOTH),
    }
    rows = []
    for examples in plan.examples:
        found = tables(pool, plan.stream(2, examples), plan.studies, examples, True)
        for arm, own in found.items():
            for name, (rule, binding) in rules.items():
                said = rule(own, own.truth)
                right = said.matches if max(own.truth[c] for c in binding) < 0 else said.short
                rows.append(
                    {
                        "arm": arm, "rule": name, "examples": examples, "decided": float(said.decided.mean()),
                        "right": float(right.sum() / max(1, said.decided.sum())),
                        "beats": float(said.beats.mean()), "seeds": float(said.seeds.mean()),
                        "truth": "matches" if right is said.matches else "falls short",
                    }
                )  # fmt: skip
    return rows


def _resampled_rates(
    pool: Pool, plan: Plan, examples: int, same: bool
) -> list[dict[tuple[str, str], tuple[float, float]]]:
    found = []
    for b in range(plan.resamples):
        rng = plan.stream(3, same, examples, b)
        found.append(counted(tables(resampled(pool, rng), rng, plan.resample_studies, examples, same, BOTH)))
    return found


def _with_interval(rate: float, others: np.ndarray, plan: Plan) -> list[float]:
    """The rate with Wilson's interval, of the size that gives binomial rates the variance found by resampling.

    Rates of resampled pools vary for two reasons: the pool, and how many studies were drawn. The second is known and is
    exchanged for that of the studies behind ``rate``.
    """
    center = min(max(float(np.mean([*others, rate])), 1 / plan.studies), 1 - 1 / plan.studies)
    spread = center * (1 - center)
    of_pool = max(float(np.var(others, ddof=1)) - spread / plan.resample_studies, 0.0) if len(others) > 1 else 0.0
    size = spread / (of_pool + spread / plan.studies)
    return [rate, *wilson(rate * size, size)]
