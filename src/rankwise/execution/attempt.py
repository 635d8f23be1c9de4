"""One job being trained now, by itself or in a pack: its place in the ledger and on disk, and who watches."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rankwise.engine import CHECKPOINT, PackJob, RunResult, train_job
from rankwise.execution.job import Job
from rankwise.ledger.metrics import MetricsLog

if TYPE_CHECKING:
    from rankwise.execution.executor import Executor

STATE = "state.safetensors"
ADAPTER = "adapter"


class Attempt:
    """One job being trained now.

    Attributes:
        flops: operations that were done before, when it was paused.
        result: what came of it in a pack, once it has ended there.
    """

    def __init__(self, executor: Executor, job: Job) -> None:
        self.executor, self.job = executor, job
        self.ledger, self.progress = executor.ledger, executor.progress
        self.key, self.folder = executor.key(job), executor.run_folder(job)
        self.ledger.ensure(self.key, job.label, dict(job.identity))
        before = self.ledger.get(self.key)
        self.interrupted = before is not None and before.status == "running"  # by a kill; a pause is nothing to tell
        self.flops = int(before.result["flops"]) if before is not None and before.result else 0
        self.seen: list[dict[str, Any]] = []
        self.result: RunResult | None = None

    def alone(self) -> None:
        """Train it by itself, watched while it runs, and record what came of it."""
        executor, job = self.executor, self.job
        self.progress.start(job.label, job.steps)
        started = time.monotonic()
        with self.begin(live=True):
            own = self.pack_job()
            try:
                result = train_job(
                    executor.base,
                    own,
                    job.splits,
                    forward=executor.forward,
                    checkpoint_seconds=executor.checkpoint_seconds,
                )
            except OSError:  # a disk that cannot be written is everybody's
                raise
            except Exception as error:  # as in a pack: the other jobs go on
                result = RunResult(status="failed", reason=" ".join(str(error).split()) or type(error).__name__)
        seconds = time.monotonic() - started
        self.store(result, seconds)
        self.tell(result, seconds)

    @contextlib.contextmanager
    def begin(self, *, live: bool = False) -> Iterator[None]:
        """Mark it as running and open its log."""
        self.live = live
        self.ledger.start(self.key, restarted_at_step=0 if self.interrupted else None)
        with MetricsLog(self.folder) as self.log:
            yield

    def pack_job(self) -> PackJob:
        """Return it as the engine takes it."""
        job = self.job
        return PackJob(
            job.spec,
            folder=self.folder,
            save_to=self.folder / ADAPTER if job.keep_adapter else None,
            state_to=self.folder / STATE if job.keep_state else None,
            start=job.start,
            keep_last=job.last,
            test=job.test,
            quiz=job.quiz,
            spectrum=job.spectrum,
            until=job.until if job.until != job.spec.steps else None,
            observe=self.observe,
            ended=self.take,
        )

    def take(self, result: RunResult) -> None:
        """Keep the result until the pack has ended."""
        self.result = result

    def observe(self, record: dict[str, Any]) -> None:
        """Log a record of the engine, and show it: at once, or when its pack is done."""
        what = record.get("event")
        if what == "resumed":
            self.log.resumed(record["step"])
            if self.interrupted:
                self.ledger.start(self.key, restarted_at_step=record["step"])
                self.progress.note(f"{self.job.label} continues at step {record['step']}")
            return
        if what == "restarted":
            self.log.resumed(0)
            self.progress.note(f"{self.job.label} starts again: {record['reason']}")
            return
        self.log.append(record)
        if what is not None:  # one of the adapter's own acted: in the log, and in the result
            if self.job.narrate and record.get("text"):
                self.progress.note(f"{self.job.label}, step {record['step']}: {record['text']}")
        elif self.live:
            self._show(record)
        else:
            self.seen.append(record)
            if "loss" in record:
                self.progress.advance()

    def replay(self) -> None:
        """Show what was seen in a pack, run by run: trackers know one run at a time."""
        self.progress.start(self.job.label, self.job.steps)
        for record in self.seen:
            self._show(record)

    def store(self, result: RunResult, seconds: float) -> None:
        """Record the result in the ledger."""
        if result.status == "failed":
            self.ledger.finish(self.key, "failed", None, reason=result.reason, seconds=seconds)
            return
        # Through JSON, so that a first pass and a resumed one read the same values back.
        stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        self.ledger.finish(self.key, result.status, stored, reason=result.reason, seconds=seconds)
        if result.status != "paused":
            (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def tell(self, result: RunResult, seconds: float) -> None:
        """Say that it ended."""
        score = None if result.status == "failed" else result.selection_nll
        self.progress.done(self.job.label, result.status, score, seconds)

    def _show(self, record: dict[str, Any]) -> None:
        if "loss" in record:
            self.progress.step(record["step"], record["loss"])
        else:
            self.progress.score(record["step"], record["selection_nll"])
