"""Conducts a study: screen learning rates, widen, choose finalists, run fresh seeds."""

from __future__ import annotations

from dataclasses import dataclass, field

from rankwise.engine import RunResult, Score
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.finalists import Screened, choose_finalists
from rankwise.studies.runner import Runner
from rankwise.studies.search import best_rate, edge, next_rate


@dataclass
class ArmOutcome:
    """All runs of one arm. A run that failed is None.

    Attributes:
        screening: by learning rate, one seed.
        fresh: by seed, at the chosen learning rate.
        widened: the grid grew.
    """

    arm: Arm
    screening: dict[float, RunResult | None] = field(default_factory=dict)
    fresh: dict[int, RunResult | None] = field(default_factory=dict)
    widened: bool = False

    @property
    def scores(self) -> dict[float, float | None]:
        """Selection NLL by learning rate; None where a run diverged or failed."""
        return {lr: (r.selection_nll if r and r.status == "done" else None) for lr, r in sorted(self.screening.items())}

    @property
    def best_lr(self) -> float | None:
        """The learning rate the verdict uses."""
        return best_rate(self.scores)

    @property
    def bracketed(self) -> bool:
        """The best learning rate has a worse (or diverged) one on both sides."""
        return self.best_lr is not None and edge(self.scores) == "inside"


@dataclass
class Outcome:
    """Everything a study measured."""

    base_selection: Score
    base_test: Score
    arms: dict[str, ArmOutcome]
    finalists: list[str]


def conduct(config: StudyConfig, runner: Runner) -> Outcome:
    """Run the study. Decisions depend on results only, so a resumed study takes the same ones."""
    plan = _Plan(config, runner)
    plan.announce()
    base_selection, base_test = runner.base_scores()
    arms = {arm.name: _screen(arm, config, runner, plan) for arm in config.arms}
    finalists = _finalists(config, arms, base_selection)
    reference = config.reference_arm.name
    for name in [reference, *finalists] if arms[reference].best_lr is not None else []:
        outcome = arms[name]
        assert outcome.best_lr is not None
        for seed in config.fresh_seeds:
            outcome.fresh[seed] = runner.run(outcome.arm, outcome.best_lr, seed, fresh=True)
    return Outcome(base_selection, base_test, arms, finalists)


def _screen(arm: Arm, config: StudyConfig, runner: Runner, plan: _Plan) -> ArmOutcome:
    outcome = ArmOutcome(arm)
    for lr in config.learning_rates[arm.name]:
        outcome.screening[lr] = runner.run(arm, lr, config.seed, fresh=False)
    for _ in range(config.widen):
        new = next_rate(outcome.scores)
        if new is None or not any(outcome.screening.values()):
            break
        outcome.widened = True
        plan.grow()
        outcome.screening[new] = runner.run(arm, new, config.seed, fresh=False)
    return outcome


def _finalists(config: StudyConfig, arms: dict[str, ArmOutcome], base: Score) -> list[str]:
    reference = arms[config.reference_arm.name]
    if reference.best_lr is None:
        return []
    screened = []
    for name, outcome in arms.items():
        run = outcome.screening[outcome.best_lr] if outcome.best_lr is not None else None
        # At another batch size an arm sees other data per step: drawn beside the reference, never judged against it.
        candidate = outcome.arm.method != "full" and outcome.arm.batch == reference.arm.batch
        candidate = candidate and outcome is not reference
        if candidate and run is not None and run.selection_nll is not None:
            screened.append(Screened(name, run.selection_nll, run.flops, run.trainable))
    reference_nll = reference.scores[reference.best_lr]
    assert reference_nll is not None
    return choose_finalists(screened, reference_nll, base.mean, config.margin, config.finalists, config.cheapest_by)


class _Plan:
    """Counts runs for the progress display, and says what a continued study found."""

    def __init__(self, config: StudyConfig, runner: Runner) -> None:
        self.config, self.runner = config, runner
        screening = [(arm, lr) for arm in config.arms for lr in config.learning_rates[arm.name]]
        self.done = len([r for r in runner.ledger.runs() if r.result is not None and r.label != "base"])
        finalists = min(config.finalists, len(config.arms) - 1)
        self.total = len(screening) + (1 + finalists) * len(config.fresh_seeds)
        self.total = max(self.total, self.done)

    def announce(self) -> None:
        interrupted = self.runner.ledger.interrupted()
        if self.done or interrupted:
            cut = [run for run in interrupted if run.label != "base"]
            restarted = "".join(f", 1 restarted at step {self.runner.restart_step(run.key)}" for run in cut)
            left = max(self.total - self.done - len(cut), 0)
            self.runner.progress.note(f"resumed: {self.done} done{restarted}, {left} to go")
        self.runner.progress.plan(self.total, self.done)

    def grow(self) -> None:
        self.total += 1
        self.runner.progress.plan(self.total, self.done)
