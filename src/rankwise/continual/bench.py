"""Runs of several data sets through one ledger: what is done is reused, what was cut short continues.

As the studies' runner, but every run names its own data and may begin from the state another one ended with. Runs on
the same data share passes (:mod:`rankwise.studies.packing`); none of this changes a bit of any of them.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.continual.strategies.base import MERGED
from rankwise.data import Splits
from rankwise.engine import CHECKPOINT, Forward, PackJob, RunResult, State, TrainSpec, checkpoint_step, train_pack
from rankwise.errors import RunError
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import run_key
from rankwise.ledger.metrics import MetricsLog
from rankwise.ledger.store import Ledger
from rankwise.models import Base
from rankwise.studies.packing import FULL_RATE, SplitSize, memory_budget, plan_packs, run_cost
from rankwise.studies.progress import Progress
from rankwise.studies.runner import NUMERICS_VERSION, drop_checkpoints

STATE = "state.safetensors"


@dataclass(frozen=True, eq=False)
class Job:
    """One run to have; what counts is where it ends, not its best step.

    Attributes:
        label: as people read it.
        splits: its data.
        start: what it begins from; None: the spec's own start.
        test: score the test split at the end.
        keep: write the state it ends with.
    """

    label: str
    spec: TrainSpec
    splits: Splits
    start: State | None = None
    test: bool = False
    keep: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the run's numbers besides base and data, as the ledger keeps it."""
        own = {**self.spec.to_dict(), "test": self.test, "keep": self.keep}
        if self.start is not None:
            own |= {"start": self.start.sha256, "memory": list(self.start.record)}
        found: dict[str, Any] = json.loads(json.dumps(own))  # tuples to lists
        return found


class Bench:
    """Executes runs over one base in one folder."""

    def __init__(
        self,
        folder: StudyFolder,
        ledger: Ledger,
        base: Base,
        progress: Progress,
        *,
        dtype: str,
        checkpoint_seconds: float,
    ) -> None:
        self.folder, self.ledger, self.base, self.progress = folder, ledger, base, progress
        self.dtype, self.checkpoint_seconds = dtype, checkpoint_seconds
        for text in ledger.notes:
            progress.note(text)
        drop_checkpoints(folder, ledger)
        base.model.eval()
        self.forward = Forward(base.model)

    def key(self, identity: dict[str, Any], data: str) -> str:
        """Return the ledger key of a run, or of anything else worth keeping, on data of this fingerprint."""
        return run_key({**identity, "dtype": self.dtype}, self.base.fingerprint, data, NUMERICS_VERSION)

    def key_of(self, job: Job) -> str:
        """Return the ledger key of a run."""
        return self.key(job.identity, job.splits.fingerprint)

    def known(self, job: Job) -> RunResult | None:
        """Return the finished run as the ledger has it."""
        found = self.ledger.get(self.key_of(job))
        if found is None or found.result is None or found.status not in ("done", "diverged"):
            return None
        return RunResult.from_dict(found.result)

    def state(self, job: Job) -> State:
        """Read the state a finished run ended with; one that cannot be used is made again, bit for bit.

        Raises:
            RunError: that gave other numbers than the ledger has of the run.
        """
        try:
            return State.read(self.state_path(job))
        except RunError as error:
            return self._restored(job, str(error).partition(";")[0])

    def _restored(self, job: Job, why: str) -> State:
        """Train a finished run again, beside the ledger, and take its state if the ledger's numbers come out."""
        path, before = self.state_path(job), self.known(job)
        self.progress.note(f"{job.label} is trained again and held against the ledger: {why}")
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self.progress.together(1, job.spec.steps)

        def advance(record: dict[str, Any]) -> None:
            if "loss" in record:
                self.progress.advance()

        made = PackJob(job.spec, test=job.test, start=job.start, state_to=path, keep_last=True, observe=advance)
        (after,) = train_pack(self.base, [made], job.splits, forward=self.forward)
        if before is None or after.status != before.status or _plain(after) != _plain(before):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            raise RunError(
                f"{why}, and trained again the run has other numbers than the ledger: another machine, or another "
                "version of a library; start again in another --out."
            )
        return State.read(path)

    def state_path(self, job: Job) -> Path:
        """Where that state is."""
        return self.folder.run_folder(self.key_of(job)) / STATE

    def run(self, jobs: Sequence[Job]) -> list[RunResult | None]:
        """Return the results of runs that do not wait for each other, in order; None for one that failed (recorded)."""
        groups: dict[str, list[Job]] = {}
        seen: set[str] = set()
        for job in jobs:
            key = self.key_of(job)
            if key not in seen and self.known(job) is None:
                seen.add(key)
                groups.setdefault(job.splits.fingerprint, []).append(job)
        for group in groups.values():
            for places, width in self._packs(group):
                self._train([group[i] for i in places], width)
        return [self.known(job) for job in jobs]

    def remember(self, label: str, identity: dict[str, Any], data: str, make: Any) -> dict[str, Any]:
        """Return ``make()``, JSON values, from the ledger when it was made before."""
        key = self.key(identity, data)
        self.ledger.ensure(key, label, {**identity, "dtype": self.dtype})
        found = self.ledger.get(key)
        if found is None or found.result is None:
            self.ledger.start(key)
            started = time.monotonic()
            self.ledger.finish(key, "done", make(), seconds=time.monotonic() - started)
            found = self.ledger.get(key)
        assert found is not None
        assert found.result is not None
        return found.result

    def failures(self) -> list[dict[str, str]]:
        """Return the runs that failed, with their reasons."""
        return [{"run": r.label, "reason": r.reason or ""} for r in self.ledger.runs() if r.status == "failed"]

    def reason(self, job: Job) -> str:
        """Return why a run did not end well."""
        found = self.ledger.get(self.key_of(job))
        reason = (found.reason if found is not None else None) or "it was not trained"
        return reason.rstrip(".")  # it becomes part of a sentence

    def bytes_of(self, job: Job) -> int:
        """Return the estimated peak of memory while a run trains alone, the base included."""
        train, selection = SplitSize.of(job.splits.train), SplitSize.of(job.splits.selection)
        cost = run_cost(self.base.model, job.label, job.spec, train, [selection])
        kept = 4 * sum(v.numel() for k, v in (job.start.tensors if job.start else {}).items() if k.startswith(MERGED))
        return cost.base_bytes + cost.bytes + kept

    def seconds(self, keys: Iterable[str]) -> float:
        """Return how long these runs trained, in seconds, by the ledger."""
        found = [self.ledger.get(key) for key in keys]
        return sum(run.seconds or 0.0 for run in found if run is not None)

    def _packs(self, jobs: Sequence[Job]) -> list[tuple[list[int], int]]:
        splits = jobs[0].splits
        train, selection = SplitSize.of(splits.train), SplitSize.of(splits.selection)
        costs = [run_cost(self.base.model, str(i), job.spec, train, [selection]) for i, job in enumerate(jobs)]
        device = str(next(self.base.model.parameters()).device)
        rate = FULL_RATE["cuda" if "cuda" in device else "cpu"]
        packs = plan_packs(costs, memory_budget(device), full_rate=rate)
        return [([int(run.label) for run in pack.runs], pack.width) for pack in packs]

    def _train(self, jobs: Sequence[Job], width: int) -> None:
        self.progress.together(len(jobs), sum(job.spec.steps for job in jobs))
        started = time.monotonic()
        ended: list[tuple[Job, RunResult]] = []
        try:
            with contextlib.ExitStack() as stack:
                logs = [stack.enter_context(self._begin(job)) for job in jobs]
                made = [self._pack_job(job, log, ended) for job, log in zip(jobs, logs, strict=True)]
                settings = {"forward": self.forward, "width": width, "checkpoint_seconds": self.checkpoint_seconds}
                train_pack(self.base, made, jobs[0].splits, **settings)  # type: ignore[arg-type]
        finally:  # what has ended is recorded, also when a signal or a full disk ends the rest
            seconds = (time.monotonic() - started) / len(jobs)
            ended.sort(key=lambda pair: jobs.index(pair[0]))
            for job, result in ended:
                self._store(job, result, seconds)
            for job, result in ended:
                self.progress.start(job.label, job.spec.steps)
                self.progress.done(job.label, result.status, result.selection_nll, seconds)

    @contextlib.contextmanager
    def _begin(self, job: Job) -> Iterator[MetricsLog]:
        key = self.key_of(job)
        self.ledger.ensure(key, job.label, {**job.identity, "dtype": self.dtype})
        before = self.ledger.get(key)
        folder = self.folder.run_folder(key)
        step = checkpoint_step(folder / CHECKPOINT) or 0
        if before is not None and before.status == "running":
            self.ledger.start(key, restarted_at_step=step)
            self.progress.note(f"{job.label} continues at step {step}")
        else:
            self.ledger.start(key)
        with MetricsLog(folder) as log:
            yield log

    def _pack_job(self, job: Job, log: MetricsLog, ended: list[tuple[Job, RunResult]]) -> PackJob:
        folder = self.folder.run_folder(self.key_of(job))

        def observe(record: dict[str, Any]) -> None:
            if record.get("event") == "resumed":
                log.resumed(record["step"])
                return
            if record.get("event") == "restarted":
                log.resumed(0)
                self.progress.note(f"{job.label} starts again: {record['reason']}")
                return
            log.append(record)
            if text := record.get("text"):
                self.progress.note(f"{job.label}, step {record['step']}: {text}")
            if "loss" in record:
                self.progress.advance()
                if "colora-note" in record.get("penalties", {}):  # in the words of the log it is taken from
                    value = record["penalties"]["colora-note"]
                    line = f"{record['step']}: LM Loss: {record['loss']:.4f}, CLoRA Loss: {value:.4f}"
                    self.progress.note(f"{job.label}, {line}")

        return PackJob(
            job.spec,
            folder=folder,
            test=job.test,
            start=job.start,
            state_to=folder / STATE if job.keep else None,
            keep_last=True,
            observe=observe,
            ended=lambda result: ended.append((job, result)),
        )

    def _store(self, job: Job, result: RunResult, seconds: float) -> None:
        key = self.key_of(job)
        if result.status == "failed":
            self.ledger.finish(key, "failed", None, reason=result.reason, seconds=seconds)
        else:
            stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
            self.ledger.finish(key, result.status, stored, reason=result.reason, seconds=seconds)
            (self.folder.run_folder(key) / CHECKPOINT).unlink(missing_ok=True)


def _plain(result: RunResult) -> Any:
    """A result as the ledger gives it back."""
    return json.loads(json.dumps(result.to_dict()))
