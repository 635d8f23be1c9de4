"""Trains jobs through the ledger: what is done is reused, what was cut short continues, what can shares passes.

None of this changes a bit of any run. Studies and streams only make jobs, and nothing else trains for the ledger.
Analyses keep no ledger: analysis/bench.py asks the engine.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankwise.adapters import Full
from rankwise.engine import CHECKPOINT, Forward, RunResult, State, checkpoint_step, train_pack
from rankwise.errors import RunError
from rankwise.execution.attempt import ADAPTER, STATE, Attempt
from rankwise.execution.job import Job
from rankwise.execution.packing import FULL_RATE, SplitSize, memory_budget, plan_packs, run_cost
from rankwise.execution.progress import Progress
from rankwise.execution.restore import restored
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import run_key
from rankwise.ledger.store import Ledger
from rankwise.models import Base

# Bump by hand when a change of the code changes a run's numbers: finished runs of older versions are not reused.
NUMERICS_VERSION = 2


def row_key(identity: Mapping[str, Any], base: Base, data: str) -> str:
    """Return the ledger key of anything worth keeping, on a base and on data of this fingerprint."""
    return run_key(json.loads(json.dumps(identity)), base.fingerprint, data, NUMERICS_VERSION)  # tuples to lists


class Executor:
    """Executes jobs over one base in one folder.

    Args:
        checkpoint_seconds: least time between two checkpoints of a run.
    """

    def __init__(
        self, folder: StudyFolder, ledger: Ledger, base: Base, progress: Progress, *, checkpoint_seconds: float
    ) -> None:
        self.folder, self.ledger, self.base, self.progress = folder, ledger, base, progress
        self.checkpoint_seconds = checkpoint_seconds
        for text in ledger.notes:
            progress.note(text)
        for run in ledger.runs():  # a kill may come between the end of a run and the removal of its checkpoint
            if run.status in ("done", "diverged"):
                (folder.run_folder(run.key) / CHECKPOINT).unlink(missing_ok=True)
        base.model.eval()
        self.forward = Forward(base.model)

    def key(self, job: Job) -> str:
        """Return the ledger key of a job: the hash of all that decides its numbers."""
        return self.key_of(job.identity, job.splits.fingerprint)

    def key_of(self, identity: Mapping[str, Any], data: str) -> str:
        """Return the ledger key of anything worth keeping, on data of this fingerprint."""
        return row_key(identity, self.base, data)

    def known(self, job: Job) -> RunResult | None:
        """Return the result the ledger holds if it goes as far as ``job`` asks (or further), else None."""
        found = self.ledger.get(self.key(job))
        if found is None or found.result is None:
            return None
        result = RunResult.from_dict(found.result)
        reached = result.status != "paused" or (job.until is not None and len(result.losses) >= job.until)
        return result if reached else None

    def run(self, jobs: Sequence[Job]) -> list[RunResult | None]:
        """Return the results of jobs that do not wait for each other, in order; None for one that failed (recorded).

        What the ledger has is returned as it is, even when it goes further than asked; the rest is trained now. Jobs
        with one key are trained once, as far as the furthest asks.
        """
        groups: dict[str, dict[str, Job]] = {}
        for job in jobs:
            if self.known(job) is None:
                group, key = groups.setdefault(job.splits.fingerprint, {}), self.key(job)
                if key not in group or job.steps > group[key].steps:
                    group[key] = job
        for group in groups.values():
            for pack, width in self._packs(list(group.values())):
                self._train(pack, width)
        return [self.known(job) for job in jobs]

    def remember(
        self, label: str, identity: Mapping[str, Any], data: str, make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return ``make()``, JSON values, from the ledger when it was made before."""
        key = self.key_of(identity, data)
        self.ledger.ensure(key, label, dict(identity))
        found = self.ledger.get(key)
        if found is None or found.result is None:
            self.ledger.start(key)
            started = time.monotonic()
            self.ledger.finish(key, "done", make(), seconds=time.monotonic() - started)
            found = self.ledger.get(key)
        assert found is not None
        assert found.result is not None
        return found.result

    def state(self, job: Job) -> State:
        """Read the state a finished job ended with; one that cannot be used is made again, bit for bit.

        Raises:
            RunError: that gave other numbers than the ledger has of the run.
        """
        path = self.run_folder(job) / STATE
        try:
            return State.read(path)
        except RunError as error:
            return restored(self, job, path, str(error).partition(";")[0])

    def run_folder(self, job: Job) -> Path:
        """Where a job's files are."""
        return self.folder.run_folder(self.key(job))

    def adapter(self, job: Job) -> Path:
        """Where the adapter of a finished job is, if it was to be kept."""
        return self.run_folder(job) / ADAPTER

    def release(self, job: Job) -> None:
        """Give back the disk of a paused job that holds a whole model; going on later starts it again, bit for bit."""
        if isinstance(job.spec.target, Full):
            (self.run_folder(job) / CHECKPOINT).unlink(missing_ok=True)

    def restart_step(self, key: str) -> int:
        """Return the step from which a run that was cut short will continue (0: from its start)."""
        return checkpoint_step(self.folder.run_folder(key) / CHECKPOINT) or 0

    def failures(self) -> list[dict[str, str]]:
        """Return the runs that failed, with their reasons."""
        return [{"run": r.label, "reason": r.reason or ""} for r in self.ledger.runs() if r.status == "failed"]

    def reason(self, job: Job) -> str:
        """Return why a job did not end well; it can become part of a sentence."""
        found = self.ledger.get(self.key(job))
        reason = (found.reason if found is not None else None) or "it was not trained"
        return reason.rstrip(".")

    def seconds(self, keys: Iterable[str]) -> float:
        """Return how long these runs trained, in seconds, by the ledger."""
        found = [self.ledger.get(key) for key in keys]
        return sum(run.seconds or 0.0 for run in found if run is not None)

    def _packs(self, jobs: Sequence[Job]) -> list[tuple[list[Job], int]]:
        """Return which of ``jobs``, all on the same data, share passes, and how many of them at once."""
        splits = jobs[0].splits
        train, selection = SplitSize.of(splits.train), SplitSize.of(splits.selection)
        costs = [
            run_cost(self.base.model, str(i), job.spec, train, [selection], steps=job.until)
            for i, job in enumerate(jobs)
        ]
        device = str(next(self.base.model.parameters()).device)
        packs = plan_packs(costs, memory_budget(device), full_rate=FULL_RATE["cuda" if "cuda" in device else "cpu"])
        found: list[tuple[list[Job], int]] = []
        for pack in packs:
            own = [jobs[int(run.label)] for run in pack.runs]
            # Runs that go one after another need no pack: each is trained, told and recorded by itself.
            found += [([job], 1) for job in own] if pack.width == 1 else [(own, pack.width)]
        return found

    def _train(self, jobs: Sequence[Job], width: int) -> None:
        """Train one job, or several in shared passes; each ends with the bits it has alone."""
        attempts = [Attempt(self, job) for job in jobs]
        if len(attempts) == 1:
            attempts[0].alone()
            return
        self.progress.together(len(jobs), sum(job.steps for job in jobs))
        started = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                for attempt in attempts:
                    stack.enter_context(attempt.begin())
                train_pack(
                    self.base,
                    [attempt.pack_job() for attempt in attempts],
                    jobs[0].splits,
                    forward=self.forward,
                    width=width,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
        finally:  # what has ended is recorded, also when a signal or a full disk ends the rest
            _record(attempts, time.monotonic() - started)


def _record(attempts: Sequence[Attempt], seconds: float) -> None:
    """Record the attempts that came to an end, sharing out the time by the operations of each."""
    ended = [
        (attempt, attempt.result, max(attempt.result.flops - attempt.flops, 1))
        for attempt in attempts
        if attempt.result
    ]
    # One that has not ended counts as much as the others.
    whole = sum(work for *_, work in ended) * len(attempts) / max(len(ended), 1)
    for attempt, result, work in ended:  # all of them, before a word of any
        attempt.store(result, seconds * work / whole)
    for attempt, result, work in ended:
        attempt.replay()
        attempt.tell(result, seconds * work / whole)
