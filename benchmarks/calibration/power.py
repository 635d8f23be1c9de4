"""The old design beside the new one: arms of the pool put at true regrets from -1 to 2 margins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.calibration.draws import AGAIN
from benchmarks.calibration.looks import BOTH, ONE, Table
from benchmarks.calibration.pool import Pool
from benchmarks.calibration.rates import Plan, tables
from benchmarks.calibration.rules import Rule, Shift, one_look, sequential

REGRETS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # in margins
# Name -> rule, contrasts of its margin, test examples.
DESIGNS: dict[str, tuple[Rule, tuple[str, ...], int]] = {
    "old: once at 3 seeds, 96 examples": (one_look(3, ONE), ONE, 96),
    "sequential, gain only, 96 examples": (sequential(ONE), ONE, 96),
    "sequential, gain only, 256 examples": (sequential(ONE), ONE, 256),
    "once at 3 seeds, both bounds, 96 examples": (one_look(3, BOTH), BOTH, 96),
    "sequential, both bounds, 96 examples": (sequential(BOTH), BOTH, 96),
    "new: sequential, both bounds, 256 examples": (sequential(BOTH), BOTH, 256),
}
OLD, NEW = next(iter(DESIGNS)), list(DESIGNS)[-1]


def placed(truth: Mapping[str, float], binding: tuple[str, ...], regret: float) -> Shift:
    """Values of the contrasts when the arm's true regret is so many margins: the tighter one where there are two."""
    margin = min(truth["regret"] - truth[name] for name in binding)
    return {name: value - truth["regret"] + regret * margin for name, value in truth.items()}


def power(pool: Pool, plan: Plan) -> list[dict[str, Any]]:
    """By design and regret, over the three arms that are no repetition: decided, false, seeds and runs."""
    found = {n: _arms(pool, plan, n) for n in {examples for _, _, examples in DESIGNS.values()}}
    rows = []
    for name, (rule, binding, examples) in DESIGNS.items():
        for regret in REGRETS:
            said = [rule(own, placed(own.truth, binding, regret)) for own in found[examples]]
            matches, short, seeds = (
                np.concatenate([getattr(s, part) for s in said]) for part in ("matches", "short", "seeds")
            )
            rows.append(
                {
                    "design": name, "regret": regret, "matches": float(matches.mean()), "short": float(short.mean()),
                    "decided": float((matches | short).mean()),
                    "false": float(((matches if regret >= 1 else False) | (short if regret <= 1 else False)).mean()),
                    "seeds": float(seeds.mean()), "runs": float(2 * seeds.mean()),
                    "decided_by_3": float(((matches | short) & (seeds == 3)).mean()),
                }
            )  # fmt: skip
    return rows


def _arms(pool: Pool, plan: Plan, examples: int) -> list[Table]:
    found = tables(pool, plan.stream(4, examples), plan.studies, examples, True)
    return [own for arm, own in found.items() if arm != AGAIN]
