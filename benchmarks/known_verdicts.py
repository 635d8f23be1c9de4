"""Controls: comparisons whose verdict is known before they run (docs/design/statistics.md#controls).

Full fine-tuning against itself, under two sets of fresh seeds, must not fall short; an adapter that can hardly move
the model must. If either comes out wrong, no verdict of a study on that model and data deserves trust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankwise.adapters import Adapter, Full
from rankwise.data import Splits
from rankwise.engine import Forward, RunResult, Score, TrainSpec, evaluate, train
from rankwise.errors import RunError
from rankwise.models import Base
from rankwise.stats.scores import Scores
from rankwise.stats.verdict import Verdict, judge_all
from rankwise.stats.verdict_words import FALLS_SHORT, MATCHING, UNDECIDED

AGAIN, CRIPPLED = "full fine-tuning again", "crippled adapter"


@dataclass(frozen=True)
class Setting:
    """How the controls train. Reference and repetition share everything but their seeds.

    Attributes:
        crippled: what must fall short: an adapter of rank 1 on a single small layer.
        seeds: of the reference and of the crippled arm; the repetition takes as many after the largest one.
    """

    crippled: Adapter | Full
    full_lr: float
    crippled_lr: float
    steps: int
    batch: int
    seeds: tuple[int, ...] = (1, 2, 3)
    margin: float = 0.05

    @property
    def other_seeds(self) -> tuple[int, ...]:
        """Seeds of the repetition."""
        return tuple(range(max(self.seeds) + 1, max(self.seeds) + 1 + len(self.seeds)))


def run_controls(
    base: Base, splits: Splits, setting: Setting, *, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train both controls and judge them as a study would; return plain JSON values.

    ``passed`` is False when the repetition falls short or the crippled adapter does not.

    Raises:
        RunError: a run diverged, so there is nothing to judge.
    """
    forward = Forward(base.model)
    before = evaluate(forward, splits.test)
    steps = tuple(range(max(1, setting.steps // 4), setting.steps + 1, max(1, setting.steps // 4)))

    def scores(name: str, target: Adapter | Full, lr: float, seeds: tuple[int, ...]) -> Scores:
        tests = []
        for seed in seeds:
            spec = TrainSpec(target, lr, setting.steps, setting.batch, setting.batch, eval_steps=steps, seed=seed)
            test = _test(train(base, spec, splits, forward=forward, test=True), name, seed)
            tell(f"{name}, seed {seed}: test NLL {test.mean:.4f}")
            tests.append(test.nll)
        return Scores(np.array(tests), np.array(before.targets), seeds)

    reference = scores("full fine-tuning", Full(), setting.full_lr, setting.seeds)
    arms = {
        AGAIN: scores(AGAIN, Full(), setting.full_lr, setting.other_seeds),
        CRIPPLED: scores(CRIPPLED, setting.crippled, setting.crippled_lr, setting.seeds),
    }
    # The learning rate is given, not searched: the controls are about the verdict, so it counts as bracketed.
    untrained = Scores.without_seed(before.nll, before.targets)
    verdicts = judge_all(arms, reference, untrained, setting.margin, bracketed=True)
    again, crippled = (_facts(verdicts[name], name) for name in (AGAIN, CRIPPLED))
    again["passed"] = again["word"] in (*MATCHING, UNDECIDED)
    crippled["passed"] = crippled["word"] == FALLS_SHORT
    return {
        "base_test_nll": before.mean,
        "reference_test_nll": reference.score,
        "controls": [again, crippled],
        "passed": again["passed"] and crippled["passed"],
    }


def _test(result: RunResult, name: str, seed: int) -> Score:
    if result.test is None:
        raise RunError(f"{name}, seed {seed}, {result.status}: {result.reason}; lower its learning rate.")
    return result.test


def _facts(verdict: Verdict, name: str) -> dict[str, Any]:
    recovery = verdict.recovery
    return {
        "control": name,
        "word": verdict.word,
        "sentence": verdict.sentence(name[0].upper() + name[1:], "full fine-tuning"),
        "recovery": None if recovery is None else [recovery.estimate, recovery.low, recovery.high],
        "p": verdict.p,
    }
