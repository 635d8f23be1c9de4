"""Conducts a study: search learning rates, choose finalists, run fresh seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rankwise.engine import RunResult, Score
from rankwise.errors import UsageError
from rankwise.ledger.store import NOTED
from rankwise.studies.budget.plan import words
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.deciding import Deciding
from rankwise.studies.running.lookbook import LookBook
from rankwise.studies.running.outcome import ArmOutcome, Decisions, End, Outcome
from rankwise.studies.running.runner import Runner, Trial
from rankwise.studies.search.finalists import Screened, choose_finalists
from rankwise.studies.search.halving import rung_steps
from rankwise.studies.search.screening import Screening, is_candidate

__all__ = ["ArmOutcome", "Outcome", "conduct"]

Watch = Callable[[Sequence[Trial]], None]
Allows = Callable[[Sequence[Trial]], bool]


def conduct(
    config: StudyConfig,
    runner: Runner,
    watch: Watch | None = None,
    *,
    allows: Allows | None = None,
    again: bool = False,
) -> Outcome:
    """Run the study. Decisions depend on results only, so a resumed study takes the same ones.

    Args:
        watch: called before each wave with the runs it still has to train; it may raise to end the study here.
        allows: whether there is time for a further round of fresh seeds, which may be left out; by default as much as
            ``config.limit_seconds`` says.
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
    decisions = Decisions()
    if (lr := arms[reference].best_lr) is not None and config.fresh_seeds:
        rates = {name: outcome.best_lr for name, outcome in arms.items() if outcome.best_lr is not None}
        book = LookBook(runner, {reference: lr}, rates)
        deciding = Deciding(config, arms, finalists, base_test, book)
        _decide(config, plan, deciding, allows or _within_limit(config, runner))
        decisions, finalists = deciding.found, deciding.finalists
    plan.announce(0)
    price = screening.price(len(runner.splits.train))
    return Outcome(base_selection, base_test, arms, finalists, price, decisions)


def _decide(config: StudyConfig, plan: _Plan, deciding: Deciding, allows: Allows) -> None:
    """Run fresh seeds and look: once, or until no further seed is worth its time."""
    reference, seeds = config.reference_arm.name, config.fresh_seeds
    done, going = deciding.first, deciding.finalists

    def trials(some: Sequence[int]) -> list[Trial]:
        # Seed by seed: whenever time runs out, what is done is a comparison.
        runs = [(deciding.arms[name], seed) for seed in some for name in (reference, *going)]
        return [Trial(o.arm, o.best_lr, seed, fresh=True) for o, seed in runs if o.best_lr is not None]

    def run(some: Sequence[int]) -> None:
        wanted = trials(some)
        for trial, result in zip(wanted, plan.wave(wanted), strict=True):
            deciding.arms[trial.arm.name].fresh[trial.seed] = result

    if config.limit_seconds is not None and not config.budget and not allows(trials(seeds[:done])):
        raise UsageError(
            f"--limit {words(config.limit_seconds)} is used up before the first look, at {done} fresh seeds; give more "
            "time, and the same command goes on from here"
        )
    run(seeds[:done])
    deciding.look(done, going)
    if config.until == "seeds":
        return
    while True:
        going = deciding.finalists if done < config.at_least else deciding.open()
        if done == len(seeds) and deciding.unsettled():
            ended: End = "limit"
            break
        if not going or done == len(seeds):
            ended = "futile" if deciding.unsettled() else "decided"
            break
        if not deciding.may_go_on(done, allows(trials(seeds[done : done + 1]))):
            ended = "time"
            break
        run(seeds[done : done + 1])
        done += 1
        deciding.look(done, going)
    deciding.found.ended = ended


def _within_limit(config: StudyConfig, runner: Runner) -> Allows:
    """Return whether a round fits into ``config.limit_seconds``, by what runs of its kind took so far."""

    def allows(trials: Sequence[Trial]) -> bool:
        if config.limit_seconds is None:
            return True
        pending = [trial for trial in trials if runner.known(trial) is None]
        rows = runner.ledger.trained()
        ended = [run for run in rows if run.status == "done"]  # those on fresh seeds say best what one takes
        alike = [run.seconds or 0.0 for run in ended if run.spec.get("test")] or [run.seconds or 0.0 for run in ended]
        each = sum(alike) / max(len(alike), 1)
        return not pending or sum(run.seconds or 0.0 for run in rows) + each * len(pending) <= config.limit_seconds

    return allows


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
    return choose_finalists(screened, reference_nll, base.mean, config.judged_by, config.finalists, config.cheapest_by)


class _Plan:
    """Counts runs for the progress display (a run that pauses counts each time), and says what was found."""

    def __init__(self, config: StudyConfig, runner: Runner, watch: Watch | None, *, told: bool) -> None:
        self.config, self.runner, self.watch, self.told = config, runner, watch, told
        finished = [r for r in runner.ledger.trained() if r.result is not None]
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
        interrupted = [run for run in self.runner.ledger.interrupted() if run.label not in NOTED]
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
    fresh = (1 + min(config.finalists, len(config.arms) - 1)) * config.expected_seeds
    rates = sum(len(grid) for grid in config.learning_rates.values()) if not stage else 0
    if config.search == "halving":
        rungs = [*rung_steps(config.eval_steps, config.steps, config.halving.first), config.steps]
        for number, rung in enumerate(rungs[1:]):
            rates += len(config.arms) * (2 if number == 0 else 1) if rung > stage else 0
    return rates + fresh
