"""What a study measured, arm by arm."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rankwise.engine import RunResult, Score
from rankwise.stats.scores import Scores
from rankwise.stats.verdict import Verdict
from rankwise.stats.verdict_words import Word
from rankwise.studies.config import Arm
from rankwise.studies.search.halving import Rung, Stop, score_at
from rankwise.studies.search.rates import Fit, best_rate, edge, fit_rate


@dataclass
class ArmOutcome:
    """All runs of one arm. A run that failed is None; one that was stopped early has status "paused".

    Attributes:
        screening: by learning rate, one seed.
        fresh: by seed, at the chosen learning rate.
        widened: the grid grew beyond an edge.
    """

    arm: Arm
    screening: dict[float, RunResult | None] = field(default_factory=dict)
    fresh: dict[int, RunResult | None] = field(default_factory=dict)
    widened: bool = False

    @property
    def depth(self) -> int:
        """The step that the arm's longest run reached; 0 without one."""
        return max((r.curve[-1][0] for r in self._alive() if r.curve), default=0)

    @property
    def scores(self) -> dict[float, float | None]:
        """Selection NLL by learning rate at :attr:`depth`; None where a run diverged, failed or was stopped earlier."""
        depth = self.depth
        return {
            lr: None if run is None or run.status == "diverged" else score_at(run, depth)
            for lr, run in sorted(self.screening.items())
        }

    @property
    def best_lr(self) -> float | None:
        """The learning rate the verdict uses."""
        return best_rate(self.scores)

    @property
    def stopped(self) -> bool:
        """No run got to its end, because other arms were better."""
        runs = self._alive()
        return bool(runs) and all(run.status == "paused" for run in runs)

    @property
    def bracketed(self) -> bool:
        """The best learning rate has a worse (stopped, diverged) one on both sides."""
        return self.best_lr is not None and edge(self.scores) == "inside"

    @property
    def fit(self) -> tuple[Fit, int] | None:
        """The parabola around the best rate and the step of its scores: the last one that three neighbors reached."""
        runs = self._alive()
        first = min((run.curve[-1][0] for run in runs if run.status == "paused" and run.curve), default=self.depth)
        steps = sorted({step for run in runs for step, _ in run.curve if step >= first}, reverse=True)
        for step in steps:
            if fit := fit_rate({lr: score_at(run, step) for lr, run in self.screening.items()}):
                return fit, step
        return None

    def _alive(self) -> list[RunResult]:
        return [run for run in self.screening.values() if run is not None and run.status != "diverged"]


def finished(outcome: ArmOutcome) -> dict[int, RunResult]:
    """Return the fresh runs that ended well, by seed."""
    return {seed: r for seed, r in outcome.fresh.items() if r is not None and r.status == "done" and r.test}


def arm_scores(outcome: ArmOutcome, tokens: tuple[int, ...], seeds: Collection[int] | None = None) -> Scores | None:
    """Return the test scores of an arm's finished fresh runs (of ``seeds`` alone, if given); None without any."""
    runs = {seed: run for seed, run in finished(outcome).items() if seeds is None or seed in seeds}
    if not runs:
        return None
    return Scores(np.array([r.test.nll for r in runs.values() if r.test]), np.array(tokens), tuple(runs))


@dataclass(frozen=True)
class Search:
    """How learning rates were searched, and its price in training examples.

    Attributes:
        spent: examples read by the search.
        full_grid: examples that the same learning rates had read without stopping any.
    """

    rungs: tuple[Rung, ...]
    stops: tuple[Stop, ...]
    spent: int
    full_grid: int


End = Literal["decided", "futile", "limit", "time"]  # why no further seed was run


@dataclass(frozen=True)
class Taken:
    """One look at a family of arms.

    Attributes:
        family: its number, from 1. Arms that were added after a look are a family of their own.
        seeds: fresh seeds it rests on.
        level: one-sided level of a single claim at this look.
        spent: share of all trials in which a claim of one kind may be wrong, up to and with this look.
        words: by arm.
    """

    family: int
    seeds: int
    level: float
    spent: float
    words: dict[str, Word]


@dataclass
class Decisions:
    """What the looks at the fresh runs said.

    Attributes:
        verdicts: by arm, of the look that decided it, else of its last one.
        taken: in order.
        ended: why no further seed was run; None where one look was planned.
        families: the arms that share one error.
        elsewhere: looks that were taken at other learning rates, each with an error of its own.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    ended: End | None = None
    families: list[tuple[str, ...]] = field(default_factory=list)
    elsewhere: int = 0


@dataclass
class Outcome:
    """Everything a study measured."""

    base_selection: Score
    base_test: Score
    arms: dict[str, ArmOutcome]
    finalists: list[str]
    search: Search
    decisions: Decisions = field(default_factory=Decisions)
