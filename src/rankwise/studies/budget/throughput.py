"""How many useful operations this machine really does per second, measured on the study's own model and data."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from rankwise.cost import evaluation_flops
from rankwise.data import Splits
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.batches import workload
from rankwise.engine.evaluation.scoring import score
from rankwise.engine.run import Run
from rankwise.models import Base


@dataclass(frozen=True)
class Throughput:
    """Useful operations per second, by what they are for."""

    train: float
    evaluate: float


def throughput(base: Base, forward: Forward, spec: TrainSpec, splits: Splits, *, steps: int = 2) -> Throughput:
    """Time ``steps`` optimizer steps of ``spec`` after one to warm up, and one evaluation of as many examples.

    The run is thrown away; the base is as it was. A time estimate from this includes all that a floor leaves out.
    """
    run = Run(base, forward, replace(spec, steps=steps + 1, warmup=0, schedule="constant", eval_steps=()), splits)
    try:
        run.train_step()
        done = run.work
        started = time.perf_counter()
        for _ in range(steps):
            run.train_step()
        seconds = time.perf_counter() - started
        tokens, targets, squared = (
            getattr(run.work, name) - getattr(done, name) for name in ("tokens", "targets", "squared")
        )
        train = run.trainee.flops(run.shape, type(done)(tokens, targets, squared)) / seconds
        examples = splits.selection[: 2 * spec.batch]
        started = time.perf_counter()
        score(run.trainee.forward, [run.trainee], examples)
        seconds = time.perf_counter() - started
    finally:
        run.trainee.close()
    return Throughput(train, evaluation_flops(run.shape, workload(examples)) / seconds)
