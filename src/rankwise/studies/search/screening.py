"""Searches every arm's learning rate on one seed, in waves of runs that do not wait for each other.

Up to the first rung (to the end, in a grid): all rates; one beyond an edge that the best rate lies on; the fitted
optimum; and for the reference as many rates as any arm has. Then at each rung the better runs go on.
Every decision reads results only, so a resumed study takes the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rankwise.engine import RunResult
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.running.outcome import ArmOutcome, Search
from rankwise.studies.running.runner import Trial
from rankwise.studies.search.halving import Rung, Stop, cut, examples_until, keep_arms, keep_rates, rung_steps, score_at
from rankwise.studies.search.rates import another_rate, best_rate, next_rate, refined_rate

Wave = Callable[[Sequence[Trial]], Sequence[RunResult | None]]


class Screening:
    """One pass through the search; :meth:`run` does it all.

    Args:
        start: selection NLL of the untouched model.
        wave: trains runs, or finds them in the ledger.
    """

    def __init__(self, config: StudyConfig, start: float, wave: Wave) -> None:
        self.config, self.start, self.wave = config, start, wave
        self.arms = {arm.name: ArmOutcome(arm) for arm in config.arms}
        self.alive = {name: list(config.learning_rates[name]) for name in self.arms}
        self.widenings = dict.fromkeys(self.arms, 0)
        self.stops: dict[tuple[str, float], Stop] = {}
        self.rungs: list[Rung] = []

    def run(self) -> dict[str, ArmOutcome]:
        """Return the searched arms."""
        config = self.config
        for number, step in enumerate(self._checkpoints()):
            self._train(self.alive, step)
            self._look_beyond(step)
            if number == 0 and config.refine is not None:
                self._refine(step, config.refine)
                self._look_at_reference(step)
            if step < config.steps:
                self._halve(step, first=number == 0)
        for (name, lr), stop in self.stops.items():
            run = self.arms[name].screening[lr]
            self.arms[name].screening[lr] = cut(run, stop.step) if run else None
        return self.arms

    def price(self, examples: int) -> Search:
        """Return what was stopped and what that saved; ``examples`` is the size of the training split."""
        spent = full_grid = 0
        for name, arm in self.arms.items():
            batch = self.config.batch_of(arm.arm)
            for lr, run in arm.screening.items():
                steps = len(run.losses) if run else 0
                whole = self.config.steps if (name, lr) in self.stops else steps
                spent += examples_until(batch, examples, steps)
                full_grid += examples_until(batch, examples, whole)
        return Search(tuple(self.rungs), tuple(self.stops.values()), spent, full_grid)

    def _checkpoints(self) -> tuple[int, ...]:
        """The steps at which runs are compared; the last is the end."""
        config = self.config
        if config.search == "grid":
            return (config.steps,)
        return (*rung_steps(config.eval_steps, config.steps, config.halving.first), config.steps)

    def _train(self, rates: Mapping[str, Sequence[float]], step: int) -> None:
        until = step if step < self.config.steps else None
        wanted = [(self.arms[name], lr) for name, own in rates.items() for lr in own]
        trials = [Trial(arm.arm, lr, self.config.seed, fresh=False, until=until) for arm, lr in wanted]
        for (arm, lr), run in zip(wanted, self.wave(trials) if trials else (), strict=True):
            arm.screening[lr] = run
            if lr not in self.alive[arm.arm.name]:
                self.alive[arm.arm.name].append(lr)

    def _scores(self, name: str, step: int) -> dict[float, float | None]:
        """Scores at a step of all rates tested; None for those that are out."""
        runs = self.arms[name].screening
        return {lr: score_at(run, step) if lr in self.alive[name] else None for lr, run in runs.items()}

    def _searched(self) -> list[str]:
        """Arms that still have a run that did not fail."""
        return [name for name, alive in self.alive.items() if any(self.arms[name].screening[lr] for lr in alive)]

    def _look_beyond(self, step: int) -> None:
        while True:
            new = {name: next_rate(self._scores(name, step)) for name in self._searched() if self._may_widen(name)}
            found = {name: [lr] for name, lr in new.items() if lr is not None}
            if not found:
                return
            for name in found:
                self.widenings[name] += 1
                self.arms[name].widened = True
            self._train(found, step)

    def _may_widen(self, name: str) -> bool:
        return self.widenings[name] < self.config.widen

    def _refine(self, step: int, share: float) -> None:
        new = {name: refined_rate(self._scores(name, step), self.start, share) for name in self._searched()}
        self._train({name: [lr] for name, lr in new.items() if lr is not None}, step)

    def _look_at_reference(self, step: int) -> None:
        """Give the reference as many rates as the arm with the most."""
        name = self.config.reference_arm.name
        most = max(len(arm.screening) for arm in self.arms.values())
        while len(self.arms[name].screening) < most and name in self._searched():
            new = another_rate(self._scores(name, step))
            if new is None:
                return
            self._train({name: [new]}, step)

    def _halve(self, step: int, *, first: bool) -> None:
        eta = self.config.halving.eta
        entered = {name: {lr: self._scores(name, step)[lr] for lr in alive} for name, alive in self.alive.items()}
        for name, scores in entered.items():
            kept = keep_rates(scores, eta, first=first, reference=name == self.config.reference_arm.name)
            better = f"{best_rate(scores) or 0:g} and others" if len(kept) > 1 else f"{best_rate(scores) or 0:g}"
            self._stop(name, kept, scores, step, f"{better} scored better at step {step}")
        going = self._arms_that_go_on(entered, first=first)
        for name, scores in entered.items():
            if name not in going:
                self._stop(name, [], scores, step, f"other arms scored better, or nearly so for less, at step {step}")
        runs = sum(nll is not None for scores in entered.values() for nll in scores.values())
        self.rungs.append(Rung(step, runs, sum(len(alive) for alive in self.alive.values())))

    def _stop(self, name: str, kept: list[float], scores: dict[float, float | None], step: int, reason: str) -> None:
        for lr in self.alive[name]:
            if lr not in kept and scores[lr] is not None:
                self.stops[name, lr] = Stop(name, lr, step, reason)
        self.alive[name] = kept

    def _arms_that_go_on(self, entered: dict[str, dict[float, float | None]], *, first: bool) -> list[str]:
        """All arms, unless arms are stopped too; those that cannot be finalists are only drawn, and go on."""
        config, reference = self.config, self.config.reference_arm
        if not config.halving.arms or not config.finalists:
            return list(entered)
        lowest = {name: _lowest(scores) for name, scores in entered.items()}
        trainable = {
            name: next((run.trainable for run in self.arms[name].screening.values() if run), 0) for name in entered
        }
        rivals = {
            name: nll
            for name, nll in lowest.items()
            if self.alive[name] and is_candidate(self.arms[name].arm, reference)
        }
        kept = keep_arms(
            rivals,
            trainable,
            lowest[reference.name],
            self.start,
            margin=config.judged_by,
            eta=config.halving.eta,
            finalists=config.finalists,
            first=first,
        )
        return [name for name in entered if name in kept or name not in rivals]


def is_candidate(arm: Arm, reference: Arm) -> bool:
    """Whether an arm is judged: at another batch size it sees other data per step and is only drawn beside."""
    return arm.method != "full" and arm is not reference and arm.batch == reference.batch


def _lowest(scores: Mapping[float, float | None]) -> float | None:
    return min((nll for nll in scores.values() if nll is not None), default=None)
