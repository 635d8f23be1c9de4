"""Conducts a study: search learning rates, choose finalists, run fresh seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rankwise.engine import RunResult, Score
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.outcome import ArmOutcome, Outcome
from rankwise.studies.running.runner import Runner, Trial
from rankwise.studies.search.finalists import Screened, choose_finalists
from rankwise.studies.search.halving import rung_steps
from rankwise.studies.search.screening import Screening, is_candidate

__all__ = ["ArmOutcome", "Outcome", "conduct"]

Watch = Callable[[Sequence[Trial]], None]


def conduct(config: StudyConfig, runner: Runner, watch: Watch | None = None, *, again: bool = False) -> Outcome:
    """Run the study. Decisions depend on results only, so a resumed study takes the same ones.

    Args:
        watch: called before each wave with the runs it still has to train; it may raise to end the study here.
        again: the same process goes on with a changed plan, so the display is not told again what was done before.
    """
    plan = _Plan(config, runner, watch, told=again)
    base_selection, base_test = runner.base_scores()
    screening = Screening(config, base_selection.mean, plan.wave)
    arms = screening.run()
    for stop in screening.stops.values():
        runner.executor.release(runner.job(Trial(config.arm(stop.arm), stop.lr, config.seed, fresh=False)))
    finalists = _finalists(config, arms, base_selection)
    reference = config.reference_arm.name
    judged = [arms[name] for name in (reference, *finalists)] if arms[reference].best_lr is not None else []
    # Seed by seed: whenever time runs out, what is done is a comparison.
    pairs = [(seed, outcome, outcome.best_lr) for seed in config.fresh_seeds for outcome in judged]
    trials = [Trial(outcome.arm, lr, seed, fresh=True) for seed, outcome, lr in pairs if lr is not None]
    for (seed, outcome, _), run in zip(pairs, plan.wave(trials), strict=True):
        outcome.fresh[seed] = run
    plan.announce(0)
    return Outcome(base_selection, base_test, arms, finalists, screening.price(len(runner.splits.train)))


def _finalists(config: StudyConfig, arms: dict[str, ArmOutcome], base: Score) -> list[str]:
    reference = arms[config.reference_arm.name]
    if reference.best_lr is None:
        return []
    screened = []
    for name, outcome in arms.items():
        run = outcome.screening[outcome.best_lr] if outcome.best_lr is not None else None
        candidate = is_candidate(outcome.arm, reference.arm) and not outcome.stopped
        if candidate and run is not None and run.selection_nll is not None:
            screened.append(Screened(name, run.selection_nll, run.flops, run.trainable))
    reference_nll = reference.scores[reference.best_lr]
    assert reference_nll is not None
    return choose_finalists(screened, reference_nll, base.mean, config.margin, config.finalists, config.cheapest_by)


class _Plan:
    """Counts runs for the progress display (a run that pauses counts each time), and says what was found."""

    def __init__(self, config: StudyConfig, runner: Runner, watch: Watch | None, *, told: bool) -> None:
        self.config, self.runner, self.watch, self.told = config, runner, watch, told
        finished = [r for r in runner.ledger.runs() if r.result is not None and r.label != "base"]
        self.paused = len([r for r in finished if r.status == "paused"])
        self.done = len(finished) - self.paused
        self.passed = 0
        if not told:
            runner.progress.plan(max(runs_after(config, 0), self.done), self.done)

    def announce(self, left: int) -> None:
        """Say once how much an earlier session left; known when the first run is missing, or at the end."""
        if self.told:
            return
        self.told = True
        interrupted = [run for run in self.runner.ledger.interrupted() if run.label != "base"]
        if self.done or self.paused or interrupted:
            paused = f", {self.paused} stopped early or paused" if self.paused else ""
            steps = Counter(self.runner.executor.restart_step(run.key) for run in interrupted)
            where = ", ".join(f"{count} at step {step}" for step, count in sorted(steps.items(), reverse=True))
            to_go = f"about {left} to go{f' (restarted: {where})' if where else ''}" if left else "none to go"
            self.runner.progress.note(f"resumed: {self.done} done{paused}, {to_go}")

    def wave(self, trials: Sequence[Trial]) -> list[RunResult | None]:
        """Have these runs, and tell how many there are still to come."""
        pending = [trial for trial in trials if self.runner.known(trial) is None]
        stage = max((one.until or self.config.steps for one in trials), default=0) + any(one.fresh for one in trials)
        left = len(pending) + runs_after(self.config, stage)
        if pending:
            self.announce(left)
        if pending and self.watch:
            self.watch(pending)
        self.passed += len(trials) - len(pending)
        self.runner.progress.plan(self.passed + left, self.passed)
        self.passed += len(pending)
        return self.runner.run(trials)


def runs_after(config: StudyConfig, stage: int) -> int:
    """About how many runs follow after ``stage``, the step up to which all rates are trained."""
    if stage > config.steps:
        return 0
    fresh = (1 + min(config.finalists, len(config.arms) - 1)) * len(config.fresh_seeds)
    rates = sum(len(grid) for grid in config.learning_rates.values()) if not stage else 0
    if config.search == "halving":
        steps = config.train_spec(config.arms[0], 1.0, 0).eval_steps
        rungs = [*rung_steps(steps, config.steps, config.halving.first), config.steps]
        for number, rung in enumerate(rungs[1:]):
            rates += len(config.arms) * (2 if number == 0 else 1) if rung > stage else 0
    return rates + fresh
