"""Makes the lost state of a finished job again, bit for bit, beside the ledger."""

from __future__ import annotations

import contextlib
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
        path: of the state; what is there is replaced.
        why: a clause on what is wrong with the state that was there.

    Raises:
        RunError: other numbers came out.
    """
    before = executor.known(job)
    executor.progress.note(f"{job.label} is trained again and held against the ledger: {why}")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    executor.progress.together(1, job.steps)

    def advance(record: dict[str, Any]) -> None:
        if "loss" in record:
            executor.progress.advance()

    own = PackJob(job.spec, test=job.test, start=job.start, state_to=path, keep_last=job.last, observe=advance)
    (after,) = train_pack(executor.base, [own], job.splits, forward=executor.forward)
    if before is None or after.status != before.status or _plain(after) != _plain(before):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        raise RunError(
            f"{why}, and trained again the run has other numbers than the ledger: another machine, or another "
            "version of a library; start again in another --out."
        )
    return State.read(path)


def _plain(result: RunResult) -> Any:
    """A result as the ledger gives it back."""
    return json.loads(json.dumps(result.to_dict()))
