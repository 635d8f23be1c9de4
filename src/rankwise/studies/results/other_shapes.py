"""The shapes of other result files than a study's: of a study of events, of a stream (see :mod:`.result_shape`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rankwise.studies.results.parts import Fault, Interval, Number, Open, Origin, Text


class Ran(Origin):
    """``provenance`` of the other kinds, whose pages print all of this."""

    rankwise: Text
    commit: Text
    torch: Text
    cpu: Text
    created: str


class Notes(Open):
    """On what the other kinds ran."""

    model: str
    notes: list[str]


class EventAsked(Open):
    """What a study of events asked."""

    question: str
    scale: str
    duplications: list[int]
    ranks: list[int]
    learning_rates: list[float]
    every: list[int]
    seeds: list[int]
    arms: list[str]


class EventArm(Open):
    """What one event did."""

    arm: str
    label: str
    duplication: int | None
    keeps: bool
    runs: int
    diverged: int
    jump: Number
    largest_jump: Number
    relative_change: Number
    coherence_after: Number
    bf16: Number
    remembered: Number
    held_out: Number


class EventRun(Open):
    """One run."""

    arm: str
    duplication: int
    rank: int
    lr: float
    seed: int
    status: str
    losses: list[Number]
    events: list[dict[str, Any]]


class Answers(Open):
    """Sentences by language; English is always there."""

    en: list[str]


class EventsResults(Open):
    """``results`` of a study of events."""

    kind: Literal["events"]
    study: EventAsked
    cell: Notes
    arms: list[EventArm]
    answers: Answers
    runs: list[EventRun]
    faults: list[Fault]


class Measure(Interval):
    """A measure of a stream."""

    for_these_seeds: bool


class Measures(Open):
    """The measures of one metric."""

    AP: Measure
    learned: Measure
    BWT: Measure | None
    forgetting: Measure | None
    FWT: Measure | None


class ByMetric(Open):
    """One measure in both metrics."""

    exact_match: Measure | None
    nll: Measure | None


class AllMeasures(Open):
    """All measures in both metrics."""

    exact_match: Measures
    nll: Measures


class Means(Open):
    """R in both metrics: a row after every task."""

    exact_match: list[list[float]]
    nll: list[list[float]]


class Growth(Open):
    """What is kept after a task."""

    task: str
    numbers: int
    rank: int | None
    memory: int = 0
    centroids: int = 0
    examples: int = 0


class Chain(Open):
    """One chain of a strategy."""

    order: list[str]
    seed: int
    R: Means
    losses: list[list[Number]]
    penalties: list[dict[str, list[Number]]]
    events: list[list[dict[str, Any]]]
    budget_errors: list[Number]


class Router(Open):
    """How a router chose."""

    right: float
    abstained: float
    oracle_gap: ByMetric


class Strategy(Open):
    """One strategy."""

    label: str
    arxiv: str
    formula: str
    measures: AllMeasures
    versus: ByMetric | None
    versus_joint: ByMetric | None = None
    router: Router | None
    growth: list[Growth]
    examples: int
    flops: int
    bytes: int | None = None
    chains: Annotated[list[Chain], Field(min_length=1)]


class TaskScores(Open):
    """The base's scores on a task."""

    exact_match: float
    nll: float


class TaskOf(Open):
    """One task."""

    id: str
    data: str
    train: int
    test: int
    commonest: float = 0.0
    base: TaskScores


class StreamTask(Open):
    """A task as it was asked for."""

    id: str


class StreamAsked(Open):
    """What a stream asked."""

    scale: str
    tasks: list[StreamTask]
    orders: list[list[str]]
    seeds: Annotated[list[int], Field(min_length=1)]
    lr: float
    rank_budget: int | None


class JointAP(Open):
    """AP of all tasks mixed."""

    exact_match: Measure
    nll: Measure


class JointOf(Open):
    """The joint reference."""

    AP: JointAP
    examples: int = 0
    flops: int = 0
    bytes: int | None = None


class Saved(Open):
    """One saved adapter."""

    folder: str
    what: str
    error: float


class StreamResults(Open):
    """``results`` of a stream."""

    kind: Literal["stream"]
    study: StreamAsked
    cell: Notes
    tasks: Annotated[list[TaskOf], Field(min_length=1)]
    compared_with: str
    strategies: Annotated[list[Strategy], Field(min_length=1)]
    joint: JointOf | None
    saved: list[Saved]
    faults: list[Fault]


class EventsCost(Open):
    """``cost`` of a study of events."""

    seconds: float


class StreamCost(Open):
    """``cost`` of a stream."""

    trained_seconds: float
    by_strategy: dict[str, Number] = Field(default_factory=dict)
    joint: Number = None


class EventsDocument(Open):
    """The file of a study of events."""

    results: EventsResults
    cost: EventsCost
    provenance: Ran


class StreamDocument(Open):
    """The file of a stream."""

    results: StreamResults
    cost: StreamCost
    provenance: Ran
