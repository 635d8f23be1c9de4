"""The reference that trains on all tasks at once: what could be reached if tasks had no order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rankwise.adapters import Adapter
from rankwise.continual.job_bytes import job_bytes
from rankwise.continual.scoring import Scorer, TaskScore
from rankwise.continual.stream import JOINT, Stream
from rankwise.continual.tasks import Loaded, to_train
from rankwise.engine import RunResult, TrainSpec
from rankwise.execution.executor import Executor
from rankwise.execution.job import Job, last_step_job


@dataclass(frozen=True)
class Joint:
    """The reference with one seed.

    Attributes:
        seed: of the stream.
        key: of its run in the ledger.
        scores: by task; None with ``fault``, which says why it did not end.
        bytes: estimated peak while it trained, the base included.
    """

    seed: int
    key: str
    result: RunResult | None
    scores: Mapping[str, TaskScore] | None
    fault: str | None
    bytes: int


def spec_of(config: Stream, adapter: Adapter, tasks: list[Loaded], seed: int) -> TrainSpec:
    """Return its run: as many steps as the stream has in all."""
    steps = sum(config.steps_of(task.task, len(task.train)) for task in tasks)
    return config.spec(adapter, tasks[0].task, seed, steps=steps)


def train_joint(
    config: Stream,
    executor: Executor,
    scorer: Scorer,
    tasks: Mapping[str, Loaded],
    seed_of: Callable[[int, str], int],
    plan: Callable[[list[Job]], None],
) -> list[Joint]:
    """Train it, one run a seed; one that diverges or fails is a result, and the stream goes on without it.

    Args:
        seed_of: from a stream's seed and a task's name to a run's seed.
        plan: called with the runs before they are trained.
    """
    loaded = list(tasks.values())
    splits = to_train(JOINT, [e for task in loaded for e in task.train], loaded[0].selection)
    jobs = [
        last_step_job(
            f"joint, seed {seed}",
            spec_of(config, config.adapter(), loaded, seed_of(seed, JOINT)),
            splits,
            config.dtype,
            keep=True,
        )
        for seed in config.seeds
    ]
    plan(jobs)
    found = []
    for seed, job, result in zip(config.seeds, jobs, executor.run(jobs), strict=True):
        scores, fault = None, None
        if result is None or result.status != "done":
            fault = executor.reason(job)
            executor.progress.note(f"{job.label} ends: {fault}; the chains go on without it")
        else:
            scores = scorer.scores(executor.state(job), list(tasks), job.label)
        found.append(Joint(seed, executor.key(job), result, scores, fault, job_bytes(executor.base.model, job)))
    return found
