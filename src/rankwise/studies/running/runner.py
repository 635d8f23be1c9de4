"""The jobs of one study: an arm, a rate and a seed on one model and one data set, for the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter
from rankwise.data import Splits
from rankwise.engine import RunResult, Score, evaluate, make_quiz
from rankwise.engine.evaluation.generate import taught_ends
from rankwise.execution.executor import Executor
from rankwise.execution.job import Job
from rankwise.execution.progress import Progress
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.store import Ledger
from rankwise.models import Base
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.results.event_history import shows_dynamics


@dataclass(frozen=True)
class Trial:
    """One run of a study: trained to its end, or ``until`` an evaluation step.

    Attributes:
        fresh: a run of the verdict: scores the test split and keeps its adapter.
    """

    arm: Arm
    lr: float
    seed: int
    fresh: bool
    until: int | None = None

    @property
    def label(self) -> str:
        """As people read it."""
        return f"{self.arm.name} lr={self.lr:g} seed={self.seed}"


class Runner:
    """Makes jobs of a study's trials and has them executed."""

    def __init__(
        self,
        config: StudyConfig,
        folder: StudyFolder,
        ledger: Ledger,
        base: Base,
        splits: Splits,
        progress: Progress,
        *,
        keep_full: bool = False,
    ) -> None:
        self.config, self.ledger, self.base, self.splits, self.progress = config, ledger, base, splits, progress
        self.keep_full = keep_full
        self.executor = Executor(folder, ledger, base, progress, checkpoint_seconds=config.checkpoint_seconds)
        self.forward = self.executor.forward
        asked = config.exact_match
        self.quiz = make_quiz(splits.test, base.tokenizer, asked, base.room) if asked else None
        # Only where they act: a study without them keeps the keys it always had.
        self.looks: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.asked: dict[str, Any] = {"exact_match": len(self.quiz.golds)} if self.quiz else {}
        if self.quiz and (ends := taught_ends(base)):
            self.asked["ends"] = ends

    def job(self, trial: Trial) -> Job:
        """Return the job of a trial. Fresh ones keep their adapter; whole models, which are large, only when asked."""
        spec, fresh = self.config.train_spec(trial.arm, trial.lr, trial.seed), trial.fresh
        identity = {**spec.to_dict(), "dtype": self.config.dtype, "test": fresh, **(self.asked if fresh else {})}
        return Job(
            trial.label,
            spec,
            self.splits,
            identity,
            until=trial.until,
            test=fresh,
            quiz=self.quiz if fresh else None,
            spectrum=shows_dynamics(self.config, spec.target),
            keep_adapter=fresh and (self.keep_full or isinstance(spec.target, Adapter)),
        )

    def key(self, trial: Trial) -> str:
        """Return the ledger key of a trial."""
        return self.executor.key(self.job(trial))

    def known(self, trial: Trial) -> RunResult | None:
        """Return the result the ledger holds if it goes as far as asked (or further), else None."""
        return self.executor.known(self.job(trial))

    def run(self, trials: Sequence[Trial]) -> list[RunResult | None]:
        """Return the results of trials that do not wait for each other, in order; None for one that failed."""
        return self.executor.run([self.job(trial) for trial in trials])

    def adapter(self, trial: Trial) -> Path:
        """Where the adapter of a finished fresh trial is."""
        return self.executor.adapter(self.job(trial))

    def base_scores(self) -> tuple[Score, Score]:
        """Score the untouched model on selection and test."""

        def scored() -> dict[str, Any]:
            self.progress.note("Scoring the untouched model")
            splits = {"selection": self.splits.selection, "test": self.splits.test}
            return {name: asdict(evaluate(self.forward, split)) for name, split in splits.items()}

        found = self.remember({"base": True}, scored)
        selection, test = (Score(tuple(found[k]["nll"]), tuple(found[k]["targets"])) for k in ("selection", "test"))
        return selection, test

    def base_right(self) -> tuple[bool, ...] | None:
        """Return which questions the untouched model answers rightly; None without a quiz."""
        quiz = self.quiz
        if quiz is None:
            return None

        def answered() -> dict[str, Any]:
            self.progress.note(f"Asking the untouched model {len(quiz.golds)} test questions")
            return {"right": list(quiz.take(self.base))}

        return tuple(self.remember({"base": True, **self.asked}, answered)["right"])

    def look_key(self, identity: Mapping[str, Any]) -> str:
        """Return the ledger key of a look at runs on this base and data."""
        return self.executor.key_of(identity, self.splits.fingerprint)

    def note_look(self, identity: dict[str, Any], said: dict[str, Any], *, now: bool) -> None:
        """Record a look at the results, now or with :meth:`note_looks`; one that is recorded stays as it is."""
        self.looks[self.look_key(identity)] = (identity, said)
        if now:
            self.note_looks()

    def note_looks(self) -> None:
        """Record the looks that were kept back; of one planned look the last one only."""
        for identity, said in list(self.looks.values()):
            self.executor.remember("look", identity, self.splits.fingerprint, lambda said=said: said)  # type: ignore[misc]
        self.looks.clear()

    def remember(self, identity: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``make()`` says of the untouched model, from the ledger when it was made before."""
        return self.executor.remember("base", identity, self.splits.fingerprint, make)
