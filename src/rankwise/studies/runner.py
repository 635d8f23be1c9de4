"""Runs one cell's runs through the ledger: what is done is reused, what was cut short continues."""

from __future__ import annotations

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
    train,
)
from rankwise.errors import RankwiseError
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import run_key
from rankwise.ledger.metrics import MetricsLog
from rankwise.ledger.store import Ledger
from rankwise.models import Base
from rankwise.studies.config import Arm, StudyConfig
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
        """As people read it."""
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
        base.model.eval()
        self.forward = Forward(base.model)
        self.quiz = make_quiz(splits.test, base.tokenizer, config.exact_match) if config.exact_match else None

    def key(self, arm: Arm, lr: float, seed: int, fresh: bool) -> str:
        """Return the ledger key of a run: the hash of all that decides its numbers."""
        return self.key_of(self._spec(arm, lr, seed, fresh))

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
        return [self._run(job) for job in jobs]

    def _run(self, job: Job) -> RunResult | None:
        spec = self._spec(job.arm, job.lr, job.seed, job.fresh)
        key = self.key_of(spec)
        self.ledger.ensure(key, job.label, spec)
        return self.known(job) or self._train(key, job)

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

    def _train(self, key: str, job: Job) -> RunResult | None:
        spec, label, fresh = self.config.train_spec(job.arm, job.lr, job.seed), job.label, job.fresh
        run_folder = self.folder.run_folder(key)
        self.progress.start(label, job.until or spec.steps)
        before = self.ledger.get(key)
        interrupted = before is not None and before.status == "running"  # by a kill; a pause is nothing to tell
        self.ledger.start(key)
        started = time.monotonic()
        with MetricsLog(run_folder) as log:

            def observe(record: dict[str, Any]) -> None:
                if record.get("event") == "resumed":
                    log.resumed(record["step"])
                    if interrupted:
                        self.ledger.start(key, restarted_at_step=record["step"])
                        self.progress.note(f"{label} continues at step {record['step']}")
                    return
                log.append(record)
                if "event" in record:  # one of the adapter's own acted: in the log, and in the result
                    return
                if "loss" in record:
                    self.progress.step(record["step"], record["loss"])
                else:
                    self.progress.score(record["step"], record["selection_nll"])

            try:
                result = train(
                    self.base,
                    spec,
                    self.splits,
                    forward=self.forward,
                    test=fresh,
                    quiz=self.quiz if fresh else None,
                    folder=run_folder,
                    save_to=self._adapter_folder(run_folder, spec, fresh),
                    observe=observe,
                    checkpoint_seconds=self.config.checkpoint_seconds,
                    until=job.until if job.until != spec.steps else None,
                )
            except (RankwiseError, RuntimeError, MemoryError) as error:  # the rest of the study goes on
                seconds = time.monotonic() - started
                reason = " ".join(str(error).split()) or type(error).__name__
                self.ledger.finish(key, "failed", None, reason=reason, seconds=seconds)
                self.progress.done(label, "failed", None, seconds)
                return None
        seconds = time.monotonic() - started
        # Through JSON, so that a first pass and a resumed one read the same values back.
        stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        self.ledger.finish(key, result.status, stored, reason=result.reason, seconds=seconds)
        if result.status != "paused":
            (run_folder / CHECKPOINT).unlink(missing_ok=True)
        self.progress.done(label, result.status, result.selection_nll, seconds)
        return RunResult.from_dict(stored)

    def _adapter_folder(self, run_folder: Path, spec: TrainSpec, fresh: bool) -> Path | None:
        """Fresh runs keep their adapter; whole models are kept only when asked for, they are large."""
        keep = fresh and (self.keep_full or isinstance(spec.target, Adapter))
        return run_folder / "adapter" if keep else None

    def _spec(self, arm: Arm, lr: float, seed: int, fresh: bool) -> dict[str, Any]:
        spec = {**self.config.train_spec(arm, lr, seed).to_dict(), "dtype": self.config.dtype, "test": fresh}
        # Only where it acts: a study without it keeps the keys it always had.
        return {**spec, "exact_match": len(self.quiz.golds)} if fresh and self.quiz else spec

    def key_of(self, spec: dict[str, Any]) -> str:
        """Return the ledger key of ``spec`` on this base and data."""
        plain = json.loads(json.dumps(spec))  # tuples to lists
        return run_key(plain, self.base.fingerprint, self.splits.fingerprint, NUMERICS_VERSION)
