"""A stream written down: tasks in order, strategies, orders, seeds, and how each task is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from rankwise.adapters import Adapter
from rankwise.adapters.axis import resolve
from rankwise.adapters.events import EVENTS, Event, MergeAndRestart, Orthogonalize
from rankwise.continual.strategies import STRATEGIES, Strategy
from rankwise.engine import TrainSpec
from rankwise.errors import UsageError, unknown
from rankwise.methods import lora
from rankwise.reading import read_mapping
from rankwise.studies.config import MOST, RUNS, Amount, ColumnsSetting, Count, Seed, Strict
from rankwise.studies.settings import merged

JOINT = "joint"
REFERENCES = ("sequential", JOINT)
CHECKPOINTS = 4  # places in a task where a killed run can go on


class Task(Strict):
    """One task of the stream.

    Attributes:
        id: short and unique; names the column of R.
        data: as ``rankwise study --data`` takes it.
        columns: which columns of the data are read as what, as ``rankwise study --columns`` takes it, or as a mapping.
        prompt: a system message before every conversation that has none.
        evaluation: other data, whose test split is the task's.
        steps, epochs: of training, instead of the stream's (one of them).
        train, test: examples, at most, instead of the stream's.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    data: str
    columns: ColumnsSetting = None
    prompt: str | None = None
    evaluation: str | None = None
    steps: Count | None = None
    epochs: float | None = Field(default=None, gt=0)
    train: Count | None = None
    test: int | None = Field(default=None, ge=2, le=MOST)

    @model_serializer(mode="wrap")
    def _plain(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``columns`` out where there are none, so that a stream equals that of an older folder."""
        values: dict[str, Any] = written(self)
        return values if self.columns else {name: value for name, value in values.items() if name != "columns"}


class Stream(Strict):
    """Everything that decides a stream's numbers.

    Attributes:
        strategies: names, or mappings with a name and options.
        orders: lists of task ids; empty: the order of ``tasks``. Tasks are appended to every order.
        seeds: of each order.
        event: an orthogonalization or other event within every task, as ``{name: orthogonalize, kind: ...}``. Without a
            ``threshold`` (a mean ``|cos|`` in [0, 1)) an orthogonalization acts whenever it is due.
        rank_budget: largest rank that is kept per module after every task, frozen pairs included: where pairs are
            stored, the frozen ones are cut to it by SVD; adapters of every task are refused when they do not fit.
    """

    scale: str
    model: str
    tasks: tuple[Task, ...] = Field(min_length=1)
    strategies: tuple[dict[str, Any], ...] = ()
    references: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    seeds: tuple[Seed, ...] = (0,)
    rank: Count = 8
    alpha: float = Field(default=32.0, gt=0)
    placement: str = "all-linear"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    lr: float = Field(gt=0)
    steps: Count
    batch: Count
    micro_batch: Count
    schedule: Literal["constant", "linear", "cosine", "constant_with_warmup"] = "constant"
    warmup: Amount = 0
    clip: float = Field(default=1.0, ge=0)
    event: dict[str, Any] | None = None
    rank_budget: Count | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    max_length: int = Field(default=256, ge=8, le=MOST)
    train: Count
    test: int = Field(ge=2, le=MOST)
    data_seed: Amount = 0
    checkpoint_seconds: float = Field(default=20.0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Stream:
        crossed = (self.tasks, (*self.strategies, *self.references), self.orders or (0,), self.seeds)
        if (runs := math.prod(map(len, crossed))) > RUNS:
            raise ValueError(f"its lists make {runs:,} runs, more than {RUNS:,}; shorten some, or use several streams")
        ids = [task.id for task in self.tasks]
        for place, name in enumerate(ids):
            if name in ids[:place]:
                raise ValueError(f"tasks {ids.index(name) + 1} and {place + 1} have the same id {name!r}; rename one")
        for task in self.tasks:
            if task.steps is not None and task.epochs is not None:
                raise ValueError(f"task {task.id!r} has both steps and epochs; keep one")
            if self.warmup > (steps := self.steps_of(task)):
                raise ValueError(f"a warm-up of {self.warmup} steps is longer than task {task.id!r} with {steps}")
        for number, order in enumerate(self.orders, 1):
            for name in order:
                if name not in ids:
                    raise unknown(f"task in order {number}", name, ids)
            missing = [name for name in ids if name not in order]
            if missing or len(set(order)) != len(order):
                what = f"leaves out {', '.join(missing)}" if missing else "names a task twice"
                raise ValueError(f"order {number} {what}; every order holds every task once")
        for name in self.references:
            if name not in REFERENCES:
                raise unknown("reference", name, REFERENCES)
        if not self.strategies and "sequential" not in self.references:
            raise ValueError("a stream needs at least one strategy or reference 'sequential'; joint alone is no stream")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be distinct and at least one, found {list(self.seeds)}")
        labels = [label for label, _ in self.chosen()]
        if len(set(labels)) != len(labels):
            raise ValueError(f"strategies must differ, found {', '.join(labels)}")
        plain = self.adapter()
        for label, strategy in self.chosen():
            for first in (True, False):
                self.spec(strategy.adapter(plain, first), self.tasks[0], 0)  # raises for an illegal combination
            if self.rank_budget is not None:
                self._within(label, strategy, self.rank_budget)
        return self

    def _within(self, label: str, strategy: Strategy, budget: int) -> None:
        event = self.own_event()
        stores = strategy.stores or (event is not None and event.stores)
        needed = self.rank * (1 if strategy.answers == "one" else len(self.tasks)) * (2 if stores else 1)
        if needed > budget:
            raise ValueError(
                f"strategy {label!r} needs a rank of {needed} (adapters of rank {self.rank}), above rank_budget "
                f"{budget}; raise the budget or lower rank"
            )

    def chosen(self) -> list[tuple[str, Strategy]]:
        """Return the strategies with their labels: the references' first, options told where a name comes twice."""
        given = [resolve("strategy", STRATEGIES, spec) for spec in self.strategies]
        if "sequential" in self.references and not any(one.name == "sequential" for one in given):
            given.insert(0, STRATEGIES["sequential"]())
        names = [one.name for one in given]
        return [(_label(one) if names.count(one.name) > 1 else one.name, one) for one in given]

    def orders_of(self) -> tuple[tuple[str, ...], ...]:
        """Return the orders, at least one."""
        return self.orders or (tuple(task.id for task in self.tasks),)

    def room(self, strategy: Strategy) -> int | None:
        """Return the rank that one state of a strategy may keep within the budget."""
        parts = 1 if strategy.answers == "one" else len(self.tasks)
        return None if self.rank_budget is None else self.rank_budget // parts

    def task(self, name: str) -> Task:
        """Return a task by id."""
        return next(task for task in self.tasks if task.id == name)

    def steps_of(self, task: Task, examples: int | None = None) -> int:
        """Return a task's optimizer steps; epochs count its training ``examples`` (None: those asked for, the most)."""
        if task.epochs is not None:
            return max(1, round(task.epochs * (examples or task.train or self.train) / self.batch))
        return task.steps or self.steps

    def adapter(self) -> Adapter:
        """Return what every strategy builds on."""
        from dataclasses import replace

        plain = lora(rank=self.rank, alpha=self.alpha, placement=self.placement, dropout=self.dropout)
        event = self.own_event()
        return plain if event is None else replace(plain, events=(event,))

    def own_event(self) -> Event | None:
        """Return the event within every task; an orthogonalization acts at the border between two tasks too."""
        if self.event is None:
            return None
        spec = {"name": Orthogonalize.name, **self.event}
        if spec["name"] == Orthogonalize.name:
            spec = {"at_the_end": True, **spec}
        event: Event = resolve("event", EVENTS, spec)
        if event.owns_base:
            raise UsageError(
                f"event {event.name!r} writes the base, which the tasks of a stream share; use one that keeps it, such "
                f"as {Orthogonalize.name} or {MergeAndRestart.name}"
            )
        return event

    def spec(self, adapter: Adapter, task: Task, seed: int, *, steps: int | None = None) -> TrainSpec:
        """Return the run of one task; its evaluations are only where checkpoints may be written."""
        steps = steps or self.steps_of(task)
        every = max(1, steps // CHECKPOINTS)
        return TrainSpec(
            target=adapter,
            lr=self.lr,
            steps=steps,
            eval_steps=tuple(range(every, steps, every)),
            batch=self.batch,
            micro_batch=min(self.micro_batch, self.batch),
            schedule=self.schedule,
            warmup=self.warmup,
            clip=self.clip,
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


def _label(strategy: Strategy) -> str:
    options = {k: v for k, v in strategy.to_dict().items() if k != "name" and v != getattr(type(strategy), k, None)}
    return "-".join([strategy.name, *(f"{k}={v}" for k, v in options.items())])


SCALES: dict[str, dict[str, Any]] = {
    # A minute at most, on a random model.
    "smoke": {
        "model": "tiny",
        "dtype": "float32",
        "lr": 1e-2,
        "steps": 6,
        "batch": 4,
        "micro_batch": 4,
        "train": 24,
        "test": 8,
        "checkpoint_seconds": 0.0,
    },
    "quick": {"model": "default", "lr": 1e-3, "steps": 12, "batch": 8, "micro_batch": 8, "train": 96, "test": 50},
    "tutorial": {
        "model": "default",
        "lr": 1e-3,
        "steps": 250,
        "batch": 16,
        "micro_batch": 4,
        "train": 4000,
        "test": 500,
    },
}
SCALE_SEEDS: dict[str, tuple[int, ...]] = {"tutorial": (0, 1, 2)}


def resolve_stream(values: dict[str, Any], *, where: str = "the stream") -> Stream:
    """Fill in a scale's settings and validate.

    Raises:
        UsageError: one sentence naming the first wrong setting.
    """
    scale = str(values.get("scale", "quick"))
    if scale not in SCALES:
        raise UsageError(f"{where}: {unknown('scale', scale, SCALES)}")
    filled = {**SCALES[scale], **values, "scale": scale}
    strategies = filled.get("strategies", ())
    if not isinstance(strategies, list | tuple):
        raise UsageError(f"{where}: strategies must be a list, such as [sequential, olora_cl], found {strategies!r}.")
    filled["strategies"] = [{"name": one} if isinstance(one, str) else one for one in strategies]
    try:
        return Stream.model_validate(filled)
    except UsageError as error:  # of a strategy, which does not know where it stands
        raise UsageError(f"{where}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "tasks"
        if place == "method":
            raise UsageError(
                f"{where}: a stream has strategies and no method, so method cannot act in it; an event in every task "
                "is a setting of the file's own, such as event: {name: hidden-key}."
            ) from None
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted((Task if "tasks" in place else Stream).model_fields))
            raise UsageError(f"{where}: unknown setting {place!r}; it takes {known}.") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {reason}." if not first["loc"] else f"{where}: {place}: {reason}.") from None


def read_stream(path: Path, changes: dict[str, Any] | None = None) -> Stream:
    """Read a stream file.

    Raises:
        UsageError: no such file, not a mapping, or a wrong setting.
    """
    needs = "a list of tasks, each with an id and data, and strategies"
    try:
        values = read_mapping(path, what=needs)
    except FileNotFoundError:
        raise UsageError(f"no such stream file: {path}.") from None
    if not isinstance(values.get("tasks"), list):
        raise UsageError(f"{path} must hold {needs}.")
    return resolve_stream(merged(values, changes or {}), where=str(path))
