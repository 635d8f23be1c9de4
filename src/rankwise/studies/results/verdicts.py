"""From a study's outcome to what is said of its arms: the verdicts of its looks, and where their curves are going."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankwise.stats.trend import Trend, trend
from rankwise.stats.verdict import Verdict
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.outcome import ArmOutcome, Outcome, arm_scores, finished

__all__ = ["Judgement", "arm_scores", "finished", "judge_study"]


@dataclass(frozen=True)
class Judgement:
    """Verdicts and trends of the arms with fresh seeds, by arm name."""

    verdicts: dict[str, Verdict]
    trends: dict[str, Trend | None]


def judge_study(config: StudyConfig, outcome: Outcome) -> Judgement:
    """Return the verdict of every finalist, by the test split at the checkpoint best on selection."""
    verdicts, reference = outcome.decisions.verdicts, outcome.arms[config.reference_arm.name]
    return Judgement(verdicts, {name: _trend(outcome.arms[name], reference) for name in verdicts})


def _trend(arm: ArmOutcome, reference: ArmOutcome) -> Trend | None:
    ours, theirs = finished(arm), finished(reference)
    seeds = [seed for seed in ours if seed in theirs]
    if len(seeds) < 2:
        return None
    steps = [step for step, _ in ours[seeds[0]].curve]
    curves = [[[nll for _, nll in runs[seed].curve] for seed in seeds] for runs in (ours, theirs)]
    return trend(steps, np.array(curves[0]), np.array(curves[1]), paired=True)
