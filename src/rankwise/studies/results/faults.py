"""What failed, as a result file says it."""

from __future__ import annotations

from rankwise.execution.executor import Executor
from rankwise.studies.results.schema import Fault


def failed(executor: Executor) -> list[Fault]:
    """Return the runs that failed, with their reasons."""
    return [{"run": run["run"], "reason": run["reason"]} for run in executor.failures()]
