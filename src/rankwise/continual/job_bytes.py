"""What a job of a stream needs in memory."""

from __future__ import annotations

from torch import nn

from rankwise.continual.strategies.base import MERGED
from rankwise.execution.job import Job
from rankwise.execution.packing import SplitSize, run_cost


def job_bytes(model: nn.Module, job: Job) -> int:
    """Return the estimated peak of memory while ``job`` trains alone, the base included."""
    train, selection = SplitSize.of(job.splits.train), SplitSize.of(job.splits.selection)
    cost = run_cost(model, job.label, job.spec, train, [selection])
    kept = 4 * sum(v.numel() for k, v in (job.start.tensors if job.start else {}).items() if k.startswith(MERGED))
    return cost.base_bytes + cost.bytes + kept
