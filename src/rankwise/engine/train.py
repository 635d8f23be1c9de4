"""Trains one run (a pack of one) or many in a pack. Hugging Face ``Trainer`` semantics, deterministic, resumable.

Unusual here:
- the loss of a step is the sum of NLL over the number of target tokens in the whole accumulation window;
- gradients are clipped over this run's trainables only, then optimizer, then scheduler;
- the base's own dropout is off (evaluation mode), so a run's numbers depend on its spec alone;
- the selection split is scored at ``eval_steps``; the best step on it is the checkpoint of record, and the test
  split, when asked for, is scored once at the end, at the best step and at the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rankwise.data import Splits
from rankwise.engine.evaluation.exact_match import Quiz
from rankwise.engine.forward import Forward
from rankwise.engine.optim import make_optimizer, make_schedule
from rankwise.engine.pack.job import PackJob
from rankwise.engine.pack.loop import Pack
from rankwise.engine.result import RunResult
from rankwise.engine.run import Observer, Run
from rankwise.engine.spec import TrainSpec
from rankwise.engine.trainees import Trainee
from rankwise.engine.watch import Watch
from rankwise.models import Base

__all__ = ["Observer", "Run", "RunResult", "make_optimizer", "make_schedule", "train", "train_job", "train_pack"]


def train(
    base: Base,
    spec: TrainSpec,
    splits: Splits,
    *,
    forward: Forward | None = None,
    test: bool = False,
    quiz: Quiz | None = None,
    spectrum: bool = False,
    folder: Path | None = None,
    save_to: Path | None = None,
    observe: Observer | None = None,
    checkpoint_seconds: float = 30.0,
    until: int | None = None,
    trainee: Trainee | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Train one run and score it; the arguments are those of :class:`PackJob` and :func:`train_pack`.

    Raises:
        UsageError: the adapter does not fit the model, ``until`` is not an evaluation step or has no folder.
        OSError: a checkpoint or an adapter could not be written.
    """
    job = PackJob(
        spec,
        folder=folder,
        save_to=save_to,
        test=test,
        quiz=quiz,
        until=until,
        observe=observe,
        trainee=trainee,
        watch=watch,
        spectrum=spectrum,
    )
    return train_job(base, job, splits, forward=forward, checkpoint_seconds=checkpoint_seconds)


def train_job(
    base: Base, job: PackJob, splits: Splits, *, forward: Forward | None = None, checkpoint_seconds: float = 30.0
) -> RunResult:
    """Train ``job`` by itself; as :func:`train_pack`, but a fault of the run is raised.

    Raises:
        UsageError: the adapter does not fit the model.
        OSError: a checkpoint or an adapter could not be written.
    """
    base.model.eval()
    pack = Pack(base, splits, forward or Forward(base.model), None, None, checkpoint_seconds, raise_faults=True)
    (result,) = pack.run([job])
    return result


def train_pack(
    base: Base,
    jobs: Sequence[PackJob],
    splits: Splits,
    *,
    forward: Forward | None = None,
    width: int | None = None,
    budget: int | None = None,
    checkpoint_seconds: float = 30.0,
) -> list[RunResult]:
    """Train ``jobs`` and return their results in the same order.

    Args:
        base: the frozen base; left bit for bit as it was.
        forward: reuse the probes of an earlier run on the same base.
        width: most runs at once; the others wait in order. None: all.
        budget: most bytes of all active jobs' ``bytes``; one run always goes. None: no bound.
        checkpoint_seconds: least time between two checkpoints of a run, which are written at evaluations, and when
            Ctrl-C, SIGTERM or SIGHUP asks to stop.

    A fault of one run (its adapter does not fit, its observer raises, its memory does not suffice even alone) makes
    its result "failed" with the reason; a disk that cannot be written concerns all runs and is raised.

    Raises:
        OSError: a checkpoint or an adapter could not be written.
    """
    base.model.eval()
    pack = Pack(base, splits, forward or Forward(base.model), width, budget, checkpoint_seconds)
    return pack.run(jobs)
