"""Makes the lost state of a finished job again, bit for bit, beside the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.engine import PackJob, RunResult, State, train_pack
from rankwise.errors import RunError
from rankwise.execution.job import Job

if TYPE_CHECKING:
    from rankwise.execution.executor import Executor


def restored(executor: Executor, job: Job, path: Path, why: str) -> State:
    """Train a finished job again and return its state, if the ledger's numbers come out.

    Args:
        path: of the state; what is there stays until the new one is known to be the same.
        why: a clause on what is wrong with the state that was there.

    Raises:
        RunError: it fails, or other numbers come out.
    """
    before, again = executor.known(job), path.with_name(f"again.{path.name}")
    executor.progress.note(f"{job.label} is trained again and held against the ledger: {why}")
    executor.progress.together(1, job.steps)

    def advance(record: dict[str, Any]) -> None:
        if "loss" in record:
            executor.progress.advance()

    own = PackJob(
        job.spec,
        test=job.test,
        quiz=job.quiz,
        spectrum=job.spectrum,
        start=job.start,
        state_to=again,
        keep_last=job.last,
        observe=advance,
    )
    try:
        (after,) = train_pack(executor.base, [own], job.splits, forward=executor.forward)
        if after.status == "failed":
            raise RunError(f"{why}, and it could not be trained again: {after.reason}")
        if before is None or _plain(after) != _plain(before):
            raise RunError(
                f"{why}, and trained again the run has other numbers than the ledger: another machine, or another "
                "version of a library; start again in another --out."
            )
        again.replace(path)
    finally:
        again.unlink(missing_ok=True)
    return State.read(path)


def _plain(result: RunResult) -> Any:
    """A result as the ledger gives it back."""
    return json.loads(json.dumps(result.to_dict()))
