"""The study of orthogonalization events: the same data order for every arm, events on a fixed batch, jumps measured.

The loss around an event is measured on the same examples before and after it, so that the noise of batches cannot hide
a jump or look like one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

from rankwise.data import Limits, Splits, load_data
from rankwise.data.load import fingerprint
from rankwise.engine import RunResult, TrainSpec
from rankwise.errors import UsageError
from rankwise.execution.executor import Executor
from rankwise.execution.job import Job, last_step_job
from rankwise.execution.progress import Progress
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.lock import StudyLock
from rankwise.ledger.store import Ledger
from rankwise.models import fitted, load_base
from rankwise.studies.orthogonalization.config import ARMS, QUESTION, EventStudy
from rankwise.studies.orthogonalization.summary import answers, summarize
from rankwise.studies.results.faults import failed
from rankwise.studies.results.file import write_document
from rankwise.studies.results.provenance import provenance
from rankwise.studies.results.schema import EventQuestion, EventRun, EventsDocument, EventsResults, Fault
from rankwise.studies.running.device import pick_device

GROWABLE = frozenset({"arms", "duplications", "ranks", "learning_rates", "every", "seeds"})


@dataclass(frozen=True)
class DesignPoint:
    """One run of the crossed design: a level of every factor, and a seed."""

    arm: str
    duplication: int
    rank: int
    lr: float
    every: int
    seed: int

    @property
    def label(self) -> str:
        """Its name in tables and messages."""
        return f"{self.arm} x{self.duplication} r={self.rank} lr={self.lr:g} every={self.every} seed={self.seed}"


def run_events(
    config: EventStudy, out: Path, *, progress: Progress | None = None, command: str = "rankwise study"
) -> EventsDocument:
    """Run or continue the study in ``out`` and return ``{"results", "cost", "provenance"}``.

    Raises:
        UsageError: a bad setting, model or data, or a folder that holds another study.
    """
    import torch

    progress, started = progress or Progress(), time.monotonic()
    base = load_base(config.model, dtype=getattr(torch, config.dtype), device=pick_device(), progress=progress.note)
    limits = Limits(config.train, config.held_out, 1)
    loaded = load_data(config.data, base.tokenizer, limits=limits, max_length=config.max_length, columns=config.columns)
    whole = fitted(base, loaded)
    splits = {times: duplicated(whole, times, config) for times in config.duplications}
    with StudyLock(out):
        folder = StudyFolder(out)
        folder.open_or_create(config.to_dict(), GROWABLE, {"columns": None})
        folder.clean_temporaries()
        with Ledger(out) as ledger:
            executor = Executor(folder, ledger, base, progress, checkpoint_seconds=config.checkpoint_seconds)
            points = design(config)
            jobs = [job(config, point, splits[point.duplication]) for point in points]
            progress.plan(len(jobs), sum(executor.known(one) is not None for one in jobs))
            found = executor.run(jobs)
            rows = [_record(point, result) for point, result in zip(points, found, strict=True) if result is not None]
            document: EventsDocument = {
                "results": _results(config, base.name, base.notes, whole, rows, failed(executor)),
                "cost": {"seconds": time.monotonic() - started, "runs": len(rows)},
                "provenance": provenance(command),
            }
            write_document(folder.results_file, document)
    return document


def duplicated(whole: Splits, times: int, config: EventStudy) -> Splits:
    """Return as many training examples, of which a ``times``-th is distinct; the test split holds distinct ones.

    Raises:
        UsageError: the data are too few.
    """
    if len(whole.train) < config.train:
        raise UsageError(f"{config.data} has {len(whole.train)} training examples, the study asks for {config.train}.")
    distinct = whole.train[: max(1, config.train // times)]
    train = tuple(distinct[i % len(distinct)] for i in range(config.train))
    remembered = distinct[: config.remembered]
    return Splits(
        train,
        whole.selection,
        remembered,
        f"{whole.name} x{times}",
        whole.notes,
        fingerprint(train, whole.selection, remembered),
    )


def design(config: EventStudy) -> list[DesignPoint]:
    """Return every run of the study."""
    axes = (config.duplications, config.ranks, config.learning_rates, config.every, config.seeds, config.arms)
    return [DesignPoint(arm, times, rank, lr, every, seed) for times, rank, lr, every, seed, arm in product(*axes)]


def run_labels(config: EventStudy) -> list[str]:
    """Return the runs as people read them."""
    return [point.label for point in design(config)]


def job(config: EventStudy, point: DesignPoint, splits: Splits) -> Job:
    """Return one run: the order of examples depends on the seed alone, so it is the same for every arm."""
    spec = TrainSpec(
        config.adapter(point.arm, point.rank, point.every),
        lr=point.lr,
        steps=config.steps,
        batch=config.batch,
        micro_batch=min(config.micro_batch, config.batch),
        clip=config.clip,
        seed=point.seed,
    )
    return last_step_job(point.label, spec, splits, config.dtype, test=True)


def _record(point: DesignPoint, result: RunResult) -> EventRun:
    return {
        "arm": point.arm,
        "duplication": point.duplication,
        "rank": point.rank,
        "lr": point.lr,
        "every": point.every,
        "seed": point.seed,
        "status": result.status,
        "reason": result.reason,
        "losses": result.losses,
        "penalties": result.penalties,
        "events": result.events,
        "held_out": result.selection_nll,
        "remembered": result.test_final.mean if result.test_final else None,
    }


def _results(
    config: EventStudy, model: str, notes: tuple[str, ...], data: Splits, rows: list[EventRun], faults: list[Fault]
) -> EventsResults:
    arms = summarize(config, rows)
    return {
        "kind": "events",
        "study": cast("EventQuestion", {**config.to_dict(), "question": QUESTION}),
        "cell": {"model": model, "data": config.data, "notes": [*notes, *data.notes]},
        "labels": {name: ARMS[name][0] for name in config.arms},
        "arms": arms,
        "answers": answers(config, arms, model),
        "runs": rows,
        "faults": faults,
    }
