"""Keeps a study inside its budget while it runs: measures time, estimates what is left, drops runs or adds seeds."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rankwise.data import Splits
from rankwise.engine import Forward, train
from rankwise.models import Base
from rankwise.studies.budget.plan import SEEDS, USE, Timing, changed, more_seeds, replan, words
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.running.runner import Runner, Trial

LATE = 0.1  # share of the budget by which it may be missed without a word
CALIBRATION = 3  # training steps, the first not counted


class ReplannedError(Exception):
    """The rest of the study does not fit as it was planned; carries the one that does."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__()
        self.config = config


def calibrate(config: StudyConfig, runner: Runner, load: float) -> Timing:
    """Time a few real training steps of the reference and of an adapter, and the untouched model's evaluation."""
    runner.base_scores()
    row = next(run for run in runner.ledger.runs() if run.label == "base")
    tokens = [sum(len(e.input_ids) for e in split) for split in (runner.splits.selection, runner.splits.test)]
    per_token = (row.seconds or 0.0) / max(sum(tokens), 1)
    reference, adapter = step_seconds(config, runner.base, runner.forward, runner.splits)
    return Timing(reference, adapter, per_token * tokens[0], per_token * tokens[1], load)


def step_seconds(config: StudyConfig, base: Base, forward: Forward, splits: Splits) -> tuple[float, float]:
    """Time a few training steps; return seconds per step of the reference and of an adapter."""
    reference = _step(config, base, forward, splits, config.reference_arm)
    return reference, _step(config, base, forward, splits, config.arms[-1]) if len(config.arms) > 1 else reference


def _step(config: StudyConfig, base: Base, forward: Forward, splits: Splits, arm: Arm) -> float:
    lr = config.learning_rates[arm.name][0]
    spec = replace(config.train_spec(arm, lr, config.seed), steps=CALIBRATION, eval_steps=())
    few = replace(splits, selection=splits.selection[:1], test=())
    times: list[float] = []
    train(
        base,
        spec,
        few,
        forward=forward,
        observe=lambda record: times.append(time.monotonic()) if "loss" in record else None,
    )
    laps = [b - a for a, b in itertools.pairwise(times)]
    return statistics.median(laps) * config.batch / spec.batch if laps else 0.0


class Pace:
    """Watches the clock between waves of runs.

    Args:
        spent: seconds of the budget used before this moment, in earlier sessions too.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        runner: Runner,
        timing: Timing,
        spent: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert runner.config.budget is not None
        self.runner, self.timing, self.clock = runner, timing, clock
        self.late = False
        self.seconds, self.start = runner.config.budget.seconds, clock() - spent

    @property
    def config(self) -> StudyConfig:
        """The plan as it stands."""
        return self.runner.config

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.seconds - (self.clock() - self.start)

    def watch(self, pending: Sequence[Trial]) -> None:
        """Called before a wave with the runs it has to train.

        Raises:
            ReplannedError: with less to do, because all of it would take too long.
        """
        done, slowness = self._progress()
        if pending[0].fresh:
            runs = sum(self._seconds(trial) for trial in pending)
            each = runs / max(len({trial.seed for trial in pending}), 1)

            def cost(config: StudyConfig) -> float:
                fewer = len(self.config.fresh_seeds) - len(config.fresh_seeds)
                share = (1 + config.finalists) / (1 + self.config.finalists)
                return (runs - fewer * each) * share * slowness + self.timing.tail(config)

        else:

            def cost(config: StudyConfig) -> float:
                runs = self.timing.search(config) + config.expected_seeds * self.timing.seed(config)
                return max(runs - done, 0.0) * slowness + self.timing.tail(config)

        if cost(self.config) > self.left:
            smaller = replan(self.config, self.left, cost)
            if smaller != self.config:
                raise ReplannedError(smaller)
            if not self.late and cost(self.config) > self.left + LATE * self.seconds:
                self.late = True
                self.runner.progress.note(
                    f"This machine is slower than it was at first: about {words(cost(self.config))} to go, the budget "
                    f"has {words(max(self.left, 0.0))} left"
                )

    def allows(self, trials: Sequence[Trial]) -> bool:
        """Return whether a further round of fresh seeds, and what comes after the last run, fit into the budget."""
        pending = [trial for trial in trials if self.runner.known(trial) is None]
        _, slowness = self._progress()
        runs = sum(self._seconds(trial) for trial in pending) * slowness
        return not pending or runs + self.timing.tail(self.config) <= self.left

    def more(self) -> StudyConfig | None:
        """Return the study with what the time left allows on top, once its runs are done; None when it is used up."""
        assert self.config.budget is not None
        if self.config.until == "decided":
            return None
        _, slowness = self._progress()
        seed = self.timing.seed(self.config) * slowness
        left = USE * self.seconds - (self.seconds - self.left) - self.timing.tail(self.config)
        if third := more_seeds(self.config, left, seed, most=SEEDS):
            return third
        asked = self.config.budget.asked.get("finalists", self.config.finalists)
        if asked > self.config.finalists:
            wider = changed(self.config, finalists=self.config.finalists + 1)
            each = self.timing.seed(wider) - self.timing.seed(self.config)
            if each * slowness * len(wider.fresh_seeds) <= left:
                return wider
        return more_seeds(self.config, left, seed)

    def _seconds(self, trial: Trial) -> float:
        return self.timing.run(self.config, trial.arm, 0, trial.until or self.config.steps, fresh=trial.fresh)

    def _progress(self) -> tuple[float, float]:
        """Return the estimated seconds of what is done, and how many times longer it really took."""
        names = {arm.name: arm for arm in self.config.arms}
        foreseen = real = 0.0
        for run in self.runner.ledger.trained():
            arm = names.get(run.label.partition(" ")[0])
            if arm is not None and run.result is not None and run.seconds:
                steps = min(len(run.result["losses"]), self.config.steps)
                foreseen += self.timing.run(self.config, arm, 0, steps, fresh=bool(run.spec["test"]))
                real += run.seconds
        return foreseen, real / foreseen if foreseen else 1.0
