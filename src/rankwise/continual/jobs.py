"""The runs of a stream as jobs: what counts is where they end, not their best step."""

from __future__ import annotations

from typing import Any

from torch import nn

from rankwise.continual.strategies.base import MERGED
from rankwise.data import Splits
from rankwise.engine import State, TrainSpec
from rankwise.execution.job import Job
from rankwise.execution.packing import SplitSize, run_cost


def stream_job(
    label: str,
    spec: TrainSpec,
    splits: Splits,
    dtype: str,
    *,
    start: State | None = None,
    test: bool = False,
    keep: bool = False,
) -> Job:
    """Return one run.

    Args:
        dtype: of the base.
        start: what it begins from; None: the spec's own start.
        test: score the test split at the end.
        keep: write the state it ends with.
    """
    identity: dict[str, Any] = {**spec.to_dict(), "test": test, "keep": keep, "dtype": dtype}
    if start is not None:
        identity |= {"start": start.sha256, "memory": list(start.record)}
    return Job(label, spec, splits, identity, start=start, test=test, keep_state=keep, last=True, narrate=True)


def job_bytes(model: nn.Module, job: Job) -> int:
    """Return the estimated peak of memory while ``job`` trains alone, the base included."""
    train, selection = SplitSize.of(job.splits.train), SplitSize.of(job.splits.selection)
    cost = run_cost(model, job.label, job.spec, train, [selection])
    kept = 4 * sum(v.numel() for k, v in (job.start.tensors if job.start else {}).items() if k.startswith(MERGED))
    return cost.base_bytes + cost.bytes + kept
