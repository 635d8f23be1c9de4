"""Runs one cell's runs through the ledger: what is done is reused, what was cut short continues."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.data import Splits
from rankwise.engine import (
    CHECKPOINT,
    Forward,
    RunResult,
    Score,
    TrainSpec,
    checkpoint_step,
    evaluate,
    make_quiz,
    train_pack,
)
from rankwise.engine.generate import taught_ends
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import run_key
from rankwise.ledger.store import Ledger
from rankwise.models import Base
from rankwise.studies.attempt import Attempt
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.packing import FULL_RATE, RunCost, SplitSize, memory_budget, plan_packs, run_cost
from rankwise.studies.progress import Progress

# Bump by hand when a change of the code changes a run's numbers: finished runs of older versions are not reused.
NUMERICS_VERSION = 2


@dataclass(frozen=True)
class Job:
    """One run to have: trained to its end, or ``until`` an evaluation step.

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
        """Its name in tables and messages."""
        return f"{self.arm.name} lr={self.lr:g} seed={self.seed}"


class Runner:
    """Executes runs of one model on one data set."""

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
        self.config, self.folder, self.ledger = config, folder, ledger
        self.base, self.splits, self.progress = base, splits, progress
        self.keep_full = keep_full
        for text in ledger.notes:
            progress.note(text)
        drop_checkpoints(folder, ledger)
        base.model.eval()
        self.forward = Forward(base.model)
        asked = config.exact_match
        self.quiz = make_quiz(splits.test, base.tokenizer, asked, base.room) if asked else None
        # Only where they act: a study without them keeps the keys it always had.
        self.asked: dict[str, Any] = {"exact_match": len(self.quiz.golds)} if self.quiz else {}
        if self.quiz and (ends := taught_ends(base)):
            self.asked["ends"] = ends

    def key(self, arm: Arm, lr: float, seed: int, fresh: bool) -> str:
        """Return the ledger key of a run: the hash of all that decides its numbers."""
        return self.key_of(self.spec_of(arm, lr, seed, fresh))

    def is_done(self, arm: Arm, lr: float, seed: int, fresh: bool) -> bool:
        """Return whether the ledger already holds this run, finished."""
        return self.known(Job(arm, lr, seed, fresh)) is not None

    def known(self, job: Job) -> RunResult | None:
        """Return the result the ledger holds if it goes as far as ``job`` asks (or further), else None."""
        found = self.ledger.get(self.key(job.arm, job.lr, job.seed, job.fresh))
        if found is None or found.result is None:
            return None
        result = RunResult.from_dict(found.result)
        reached = result.status != "paused" or (job.until is not None and len(result.losses) >= job.until)
        return result if reached else None

    def base_scores(self) -> tuple[Score, Score]:
        """Score the untouched model on selection and test."""
        spec = {"base": True}
        key = self.key_of(spec)
        self.ledger.ensure(key, "base", spec)
        found = self.ledger.get(key)
        if found is None or found.result is None:
            self.progress.note("Scoring the untouched model")
            self.ledger.start(key)
            started = time.monotonic()
            splits = {"selection": self.splits.selection, "test": self.splits.test}
            scores = {name: asdict(evaluate(self.forward, split)) for name, split in splits.items()}
            self.ledger.finish(key, "done", scores, seconds=time.monotonic() - started)
            found = self.ledger.get(key)
        assert found is not None
        assert found.result is not None
        selection, test = (
            Score(tuple(found.result[k]["nll"]), tuple(found.result[k]["targets"])) for k in ("selection", "test")
        )
        return selection, test

    def run(self, arm: Arm, lr: float, seed: int, fresh: bool) -> RunResult | None:
        """Return the result of one whole run; see :meth:`run_many`."""
        return self.run_many([Job(arm, lr, seed, fresh)])[0]

    def run_many(self, jobs: Sequence[Job]) -> list[RunResult | None]:
        """Return the results of runs that do not wait for each other, in order; None for one that failed (recorded).

        What the ledger has is returned as it is, even when it goes further than asked; the rest is trained now.
        """
        results = [self.known(job) for job in jobs]
        pending = [i for i, result in enumerate(results) if result is None]
        for places, width in self._packs([jobs[i] for i in pending]):
            group = [pending[place] for place in places]
            for i, result in zip(group, self._train([jobs[i] for i in group], width), strict=True):
                results[i] = result
        return results

    def _packs(self, jobs: Sequence[Job]) -> list[tuple[list[int], int]]:
        """Return which of ``jobs`` share passes, by index, and how many of them at once."""
        splits = self.splits
        train, selection = SplitSize.of(splits.train), SplitSize.of(splits.selection)
        specs = [self.config.train_spec(job.arm, job.lr, job.seed) for job in jobs]
        costs = [
            run_cost(self.base.model, str(i), spec, train, [selection], steps=job.until)
            for i, (job, spec) in enumerate(zip(jobs, specs, strict=True))
        ]
        device = str(next(self.base.model.parameters()).device)
        packs = plan_packs(costs, memory_budget(device), full_rate=FULL_RATE["cuda" if "cuda" in device else "cpu"])
        # A queue of runs that go one after another needs no pack: each is trained, told and recorded by itself.
        return [
            (group, pack.width)
            for pack in packs
            for group in (_singly(pack.runs) if pack.width == 1 else [[int(run.label) for run in pack.runs]])
        ]

    def release(self, job: Job) -> None:
        """Give back the disk of a stopped run that holds a whole model; going on later starts it again, bit for bit."""
        if isinstance(job.arm.target(), Full):
            key = self.key(job.arm, job.lr, job.seed, job.fresh)
            (self.folder.run_folder(key) / CHECKPOINT).unlink(missing_ok=True)

    def restart_step(self, key: str) -> int:
        """Return the step from which a run that was cut short will continue (0: from its start)."""
        return checkpoint_step(self.folder.run_folder(key) / CHECKPOINT) or 0

    def failures(self) -> list[dict[str, str]]:
        """Return the runs that failed, with their reasons."""
        return [{"run": r.label, "reason": r.reason or ""} for r in self.ledger.runs() if r.status == "failed"]

    def _train(self, jobs: Sequence[Job], width: int) -> list[RunResult | None]:
        """Train one run, or several in shared passes; each ends with the bits it has alone."""
        attempts = [Attempt(self, job) for job in jobs]
        if len(attempts) == 1:
            return [attempts[0].alone()]
        self.progress.together(len(jobs), sum(attempt.steps for attempt in attempts))
        started = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                for attempt in attempts:
                    stack.enter_context(attempt.begin())
                train_pack(
                    self.base,
                    [attempt.pack_job() for attempt in attempts],
                    self.splits,
                    forward=self.forward,
                    width=width,
                    checkpoint_seconds=self.config.checkpoint_seconds,
                )
        finally:  # what has ended is recorded, also when a signal or a full disk ends the rest
            found = self._record(attempts, time.monotonic() - started)
        return found

    def _record(self, attempts: Sequence[Attempt], seconds: float) -> list[RunResult | None]:
        """Record the attempts that came to an end, sharing out the time by the operations of each."""
        work = [max(a.result.flops - a.flops, 1) if a.result else None for a in attempts]
        known = [own for own in work if own is not None]
        whole = sum(known) * len(attempts) / max(len(known), 1)  # one that has not ended counts as much as the others
        ended = [
            (attempt, attempt.result, seconds * own / whole)
            for attempt, own in zip(attempts, work, strict=True)
            if attempt.result is not None and own is not None
        ]
        found = [attempt.store(result, own) for attempt, result, own in ended]  # all of them, before a word of any
        for attempt, result, own in ended:
            attempt.replay()
            attempt.tell(result, own)
        return found

    def adapter_folder(self, run_folder: Path, spec: TrainSpec, fresh: bool) -> Path | None:
        """Fresh runs keep their adapter; whole models are kept only when asked for, they are large."""
        keep = fresh and (self.keep_full or isinstance(spec.target, Adapter))
        return run_folder / "adapter" if keep else None

    def spec_of(self, arm: Arm, lr: float, seed: int, fresh: bool) -> dict[str, Any]:
        """Return what decides a run's numbers, as the ledger keeps it."""
        spec = {**self.config.train_spec(arm, lr, seed).to_dict(), "dtype": self.config.dtype, "test": fresh}
        return {**spec, **self.asked} if fresh else spec

    def key_of(self, spec: dict[str, Any]) -> str:
        """Return the ledger key of ``spec`` on this base and data."""
        plain = json.loads(json.dumps(spec))  # tuples to lists
        return run_key(plain, self.base.fingerprint, self.splits.fingerprint, NUMERICS_VERSION)


def _singly(runs: Sequence[RunCost]) -> list[list[int]]:
    return [[int(run.label)] for run in runs]


def drop_checkpoints(folder: StudyFolder, ledger: Ledger) -> None:
    """Remove the checkpoints of runs that have ended: a kill may come between the two."""
    for run in ledger.runs():
        if run.status in ("done", "diverged"):
            (folder.run_folder(run.key) / CHECKPOINT).unlink(missing_ok=True)
