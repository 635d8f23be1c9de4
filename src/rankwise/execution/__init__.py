"""Runs runs: studies and streams make jobs, one executor trains them through the ledger.

:class:`~.job.Job` is what to train, :class:`~.executor.Executor` what trains it, :class:`~.packing.Pack` which jobs
share passes, :class:`~.progress.Progress` whoever watches.
"""

PUBLIC = (
    "executor",
    "job",
    "packing",
    "progress",
)
"""Modules that other rooms import."""
