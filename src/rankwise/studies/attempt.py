"""One run being trained now, by itself or in a pack: its place in the ledger and on disk, and who watches."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rankwise.engine import CHECKPOINT, PackJob, RunResult, train
from rankwise.errors import RankwiseError
from rankwise.ledger.metrics import MetricsLog
from rankwise.studies.dynamics import shows_dynamics

if TYPE_CHECKING:
    from rankwise.studies.runner import Job, Runner


class Attempt:
    """One run being trained now: its place in the ledger and on disk, and who watches.

    Attributes:
        steps: how many it will have trained.
        flops: operations that were done before, when it was paused.
        result: what came of it in a pack, once it has ended there.
    """

    def __init__(self, runner: Runner, job: Job) -> None:
        self.runner, self.job = runner, job
        self.spec = runner.config.train_spec(job.arm, job.lr, job.seed)
        plain = runner.spec_of(job.arm, job.lr, job.seed, job.fresh)
        self.key = runner.key_of(plain)
        runner.ledger.ensure(self.key, job.label, plain)
        before = runner.ledger.get(self.key)
        self.interrupted = before is not None and before.status == "running"  # by a kill; a pause is nothing to tell
        self.flops = int(before.result["flops"]) if before is not None and before.result else 0
        self.folder = runner.folder.run_folder(self.key)
        self.steps = job.until or self.spec.steps
        self.seen: list[dict[str, Any]] = []
        self.result: RunResult | None = None

    def alone(self) -> RunResult | None:
        """Train it by itself, watched while it runs."""
        runner, job = self.runner, self.job
        runner.progress.start(job.label, self.steps)
        started = time.monotonic()
        with self.begin(live=True):
            pack_job = self.pack_job()
            try:
                result = train(
                    runner.base,
                    self.spec,
                    runner.splits,
                    forward=runner.forward,
                    test=pack_job.test,
                    quiz=pack_job.quiz,
                    spectrum=pack_job.spectrum,
                    folder=pack_job.folder,
                    save_to=pack_job.save_to,
                    observe=pack_job.observe,
                    checkpoint_seconds=runner.config.checkpoint_seconds,
                    until=pack_job.until,
                )
            except (RankwiseError, RuntimeError, MemoryError) as error:  # the rest of the study goes on
                result = RunResult(status="failed", reason=" ".join(str(error).split()) or type(error).__name__)
        return self.end(result, time.monotonic() - started)

    @contextlib.contextmanager
    def begin(self, *, live: bool = False) -> Iterator[None]:
        """Mark it as running and open its log."""
        self.live = live
        self.runner.ledger.start(self.key)
        with MetricsLog(self.folder) as self.log:
            yield

    def pack_job(self) -> PackJob:
        """Return it as the engine takes it."""
        runner, job = self.runner, self.job
        return PackJob(
            self.spec,
            folder=self.folder,
            save_to=runner.adapter_folder(self.folder, self.spec, job.fresh),
            test=job.fresh,
            quiz=runner.quiz if job.fresh else None,
            spectrum=shows_dynamics(runner.config, self.spec.target),
            until=job.until if job.until != self.spec.steps else None,
            observe=self.observe,
            ended=self.take,
        )

    def take(self, result: RunResult) -> None:
        """Keep the result for :meth:`end`."""
        self.result = result

    def observe(self, record: dict[str, Any]) -> None:
        """Log a record of the engine, and show it: at once, or when its pack is done."""
        if record.get("event") == "resumed":
            self.log.resumed(record["step"])
            if self.interrupted:
                self.runner.ledger.start(self.key, restarted_at_step=record["step"])
                self.runner.progress.note(f"{self.job.label} continues at step {record['step']}")
            return
        if record.get("event") == "restarted":
            self.log.resumed(0)
            self.runner.progress.note(f"{self.job.label} starts again: {record['reason']}")
            return
        self.log.append(record)
        if "event" in record:  # one of the adapter's own acted: in the log, and in the result
            return
        if self.live:
            self._show(record)
            return
        self.seen.append(record)
        if "loss" in record:
            self.runner.progress.advance()

    def replay(self) -> None:
        """Show what was seen in a pack, run by run: trackers know one run at a time."""
        self.runner.progress.start(self.job.label, self.steps)
        for record in self.seen:
            self._show(record)

    def _show(self, record: dict[str, Any]) -> None:
        if "loss" in record:
            self.runner.progress.step(record["step"], record["loss"])
        else:
            self.runner.progress.score(record["step"], record["selection_nll"])

    def end(self, result: RunResult, seconds: float) -> RunResult | None:
        """Record the result and tell of it; None for a failure."""
        stored = self.store(result, seconds)
        self.tell(result, seconds)
        return stored

    def store(self, result: RunResult, seconds: float) -> RunResult | None:
        """Record the result; None for a failure."""
        runner = self.runner
        if result.status == "failed":
            runner.ledger.finish(self.key, "failed", None, reason=result.reason, seconds=seconds)
            return None
        # Through JSON, so that a first pass and a resumed one read the same values back.
        stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        runner.ledger.finish(self.key, result.status, stored, reason=result.reason, seconds=seconds)
        if result.status != "paused":
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return RunResult.from_dict(stored)

    def tell(self, result: RunResult, seconds: float) -> None:
        """Say that it ended."""
        score = None if result.status == "failed" else result.selection_nll
        self.runner.progress.done(self.job.label, result.status, score, seconds)
