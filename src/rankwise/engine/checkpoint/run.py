"""A run in progress, written to its checkpoint and continued from it: the same bits as without the break."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path

from rankwise.cost import Workload
from rankwise.digests import DamagedError
from rankwise.engine.checkpoint.file import load_state, save_state
from rankwise.engine.result import RunResult
from rankwise.engine.run import Run


def save_run(run: Run, path: Path) -> None:
    """Write the checkpoint."""
    tensors, events = (run.events.tensors(), run.events.record()) if run.events else ({}, [])
    record = {
        "step": run.step,
        "work": asdict(run.work),
        "result": run.result.to_dict(),
        "events": events,
        "passes": run.passes,
    }
    save_state(path, run.trainee, run.optimizer, run.best, tensors, record)


def resume_run(run: Run, path: Path) -> bool:
    """Continue from the checkpoint if there is a usable one, and report it; a damaged one is reported and not used.

    A disk fault means starting this run again, not failing: it ends with the same bits.
    """
    try:
        loaded = load_state(path, run.trainee, run.optimizer, needs_best=run.keep_best)
    except DamagedError as error:
        run.tell({"event": "restarted", "step": 0, "reason": f"its checkpoint is damaged ({error})"})
        return False
    if loaded is None:
        return False
    run.best, events, record = loaded
    run.step, run.work = record["step"], Workload(**record["work"])
    run.passes = record.get("passes", 0)
    run.result = RunResult.from_dict(record["result"])
    if run.events:
        run.events.restore(events, record["events"])
    with warnings.catch_warnings(action="ignore"):  # torch warns that no optimizer step came first
        for _ in range(run.step):
            run.scheduler.step()
    run.tell({"event": "resumed", "step": run.step})
    return True
