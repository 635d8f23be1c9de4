"""From a study's outcome to verdicts: hands per-example scores to the statistics, arm by arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankwise.engine import RunResult
from rankwise.stats.scores import Scores
from rankwise.stats.trend import Trend, trend
from rankwise.stats.verdict import Verdict, judge_all
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.conduct import ArmOutcome, Outcome


@dataclass(frozen=True)
class Judgement:
    """Verdicts and trends of the arms with fresh seeds, by arm name."""

    verdicts: dict[str, Verdict]
    trends: dict[str, Trend | None]


def finished(outcome: ArmOutcome) -> dict[int, RunResult]:
    """Return the fresh runs that ended well, by seed."""
    return {seed: r for seed, r in outcome.fresh.items() if r is not None and r.status == "done" and r.test}


def judge_study(config: StudyConfig, outcome: Outcome) -> Judgement:
    """Judge every finalist against the reference on the test split, at the checkpoint best on selection."""
    tokens = outcome.base_test.targets
    base = Scores.without_seed(outcome.base_test.nll, tokens)
    reference = outcome.arms[config.reference_arm.name]
    reference_scores = arm_scores(reference, tokens)
    if reference_scores is None:
        return Judgement({}, {})
    arms = {name: s for name in outcome.finalists if (s := arm_scores(outcome.arms[name], tokens)) is not None}
    ladder = _ladder(config, list(arms))
    verdicts = judge_all(
        arms,
        reference_scores,
        base,
        config.margin,
        bracketed=reference.bracketed,
        at_edge=[name for name in arms if not outcome.arms[name].bracketed],
        ladders=[ladder] if len(ladder) > 1 else [],
    )
    trends = {name: _trend(outcome.arms[name], reference) for name in arms}
    return Judgement(verdicts, trends)


def arm_scores(outcome: ArmOutcome, tokens: tuple[int, ...]) -> Scores | None:
    """Return the test scores of an arm's finished fresh runs; None without any."""
    runs = finished(outcome)
    if not runs:
        return None
    rows = np.array([r.test.nll for r in runs.values() if r.test])
    return Scores(rows, np.array(tokens), tuple(runs))


def _ladder(config: StudyConfig, names: list[str]) -> list[str]:
    """Return LoRA arms on all linear layers from the largest rank down: one fixed sequence, no price per rank."""
    ranks = {}
    for arm in config.arms:
        options = arm.options
        if arm.name in names and arm.method == "lora" and options.get("placement", "all-linear") == "all-linear":
            ranks[arm.name] = int(options.get("rank", 16))
    return sorted(ranks, key=lambda name: -ranks[name])


def _trend(arm: ArmOutcome, reference: ArmOutcome) -> Trend | None:
    ours, theirs = finished(arm), finished(reference)
    seeds = [seed for seed in ours if seed in theirs]
    if len(seeds) < 2:
        return None
    steps = [step for step, _ in ours[seeds[0]].curve]
    curves = [[[nll for _, nll in runs[seed].curve] for seed in seeds] for runs in (ours, theirs)]
    return trend(steps, np.array(curves[0]), np.array(curves[1]), paired=True)
