"""``results.json`` of ``rankwise chain``: tasks learned one after another."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from rankwise.studies.results.schema.parts import Fault, Filled, Interval, Provenance

Metric = Literal["exact_match", "nll"]


class StreamTask(TypedDict):
    """A task as the stream file names it."""

    id: str  # name


class StreamQuestion(TypedDict):
    """What was asked: the resolved stream file, of which these are printed."""

    scale: str  # smoke, quick or tutorial
    tasks: list[StreamTask]  # in the file's order
    orders: list[list[str]]  # ids of tasks; empty: the file's order alone
    seeds: Filled[int]  # of every order
    rank: int  # of one task's adapter
    alpha: float  # as given
    placement: str  # which layers
    lr: float  # learning rate of all tasks
    steps: int  # of the optimizer per task, where a task has none of its own
    batch: int  # examples per step
    schedule: str  # of the learning rate
    warmup: int  # steps
    clip: float  # largest norm of the gradient; 0: not clipped
    dtype: str  # of the base
    event: dict[str, Any] | None  # what happens within every task
    rank_budget: int | None  # largest rank kept per module; null: no limit


class StreamCell(TypedDict):
    """On which model."""

    model: str  # name
    notes: list[str]  # what to know about model and tasks


class BothMetrics(TypedDict):
    """One score in both metrics."""

    exact_match: float  # share of right answers
    nll: float  # nats per target token


class TaskOf(TypedDict):
    """One task."""

    id: str  # name
    data: str  # its file, or what generates it
    train: int  # training examples
    test: int  # test examples
    fingerprint: NotRequired[str]  # digest of its examples
    commonest: NotRequired[float]  # share of the commonest reply
    base: BothMetrics  # of the untouched model


class Measure(Interval):
    """A measure of a stream with its interval."""

    for_these_seeds: bool  # too few seeds to speak of others


class Measures(TypedDict):
    """The five measures in one metric; null where they need a second task. Higher is better, minus the NLL too."""

    AP: Measure  # mean over all tasks at the end
    learned: Measure  # mean over tasks, each right after it was learned
    BWT: Measure | None  # change since then
    forgetting: Measure | None  # best score before the end minus the one at the end
    FWT: Measure | None  # score just before a task is learned, minus the untouched model's


class AllMeasures(TypedDict):
    """The measures in both metrics."""

    exact_match: Measures  # as shares
    nll: Measures  # minus nats per target token


class ByMetric(TypedDict):
    """A difference in both metrics."""

    exact_match: Measure | None  # of shares
    nll: Measure | None  # of minus nats per target token


class Means(TypedDict):
    """R in both metrics: rows are after every task, the untouched model first; columns the tasks in order."""

    exact_match: list[list[float]]  # shares
    nll: list[list[float]]  # nats per target token


class Growth(TypedDict):
    """What has to be kept after a task."""

    task: str  # the one just learned
    numbers: int  # entries of all pairs
    memory: NotRequired[int]  # entries that events remember
    centroids: NotRequired[int]  # entries of the router's
    examples: NotRequired[int]  # stored training examples
    rank: int | None  # of the pairs, per module


class ChainOf(TypedDict):
    """One order of tasks with one seed."""

    order: list[str]  # ids of tasks
    seed: int  # of the chain
    R: Means  # scores of every task after every task
    losses: list[list[float]]  # by task, of every step
    penalties: list[dict[str, list[float]]]  # by task and name, of every step
    events: list[list[dict[str, Any]]]  # by task, one record for each that fired
    frozen_sha256: NotRequired[dict[str, str]]  # by task, digest of what it ended with
    budget_errors: list[float | None]  # by task, what the rank budget cost; null: nothing was cut


class Router(TypedDict):
    """How the adapter that answers was chosen, at the end."""

    right: float  # share of test examples sent to their own task
    abstained: float  # share answered by the base
    oracle_gap: ByMetric  # AP that being told the task would add


class StrategyOf(TypedDict):
    """One strategy over all orders and seeds."""

    label: str  # for people
    name: NotRequired[str]  # of the strategy
    options: NotRequired[dict[str, Any]]  # what it was given
    title: NotRequired[str]  # of its paper
    arxiv: str  # number of its paper; "-" without one
    formula: str  # what it does
    answers: NotRequired[Literal["one", "oracle", "router"]]  # which adapter answers a task
    measures: AllMeasures  # what is kept
    versus: ByMetric | None  # AP minus that of the first strategy; null for itself and without pairs
    versus_joint: NotRequired[ByMetric | None]  # AP minus that of all tasks mixed
    router: Router | None  # null unless a router answers
    growth: list[Growth]  # first order, first seed
    bytes: NotRequired[int | None]  # estimated peak of one run alone, the base included
    flops: float  # operations executed, all chains
    examples: int  # trained on, all chains
    chains: Filled[ChainOf]  # every order and seed


class JointAP(TypedDict):
    """AP of all tasks mixed."""

    exact_match: Measure  # share of right answers
    nll: Measure  # minus nats per target token


class JointOf(TypedDict):
    """All tasks mixed, as many steps: what knowing no order could reach."""

    tasks: NotRequired[list[str]]  # ids
    seeds: NotRequired[list[int]]  # that came to their end
    R: NotRequired[dict[Metric, list[list[float]]]]  # by metric, a row for every seed
    AP: JointAP  # over all tasks
    flops: NotRequired[float]  # operations executed
    examples: NotRequired[int]  # trained on
    bytes: NotRequired[int | None]  # estimated peak of one run alone


class Saved(TypedDict):
    """One saved adapter."""

    strategy: NotRequired[str]  # label
    folder: str  # beside this file
    what: str  # exact, or how it was made smaller, or whose expert it is
    error: float  # relative, of the update


class StreamResults(TypedDict):
    """What the stream found."""

    kind: Literal["stream"]  # of result
    study: StreamQuestion  # what was asked
    cell: StreamCell  # on what
    tasks: Filled[TaskOf]  # in the file's order
    compared_with: str  # label of the first strategy
    strategies: Filled[StrategyOf]  # those with a chain that came to its end
    joint: JointOf | None  # null unless asked for
    saved: list[Saved]  # adapters, first order and seed
    faults: list[Fault]  # chains that did not come to their end


class StreamCost(TypedDict):
    """Clocks."""

    seconds: NotRequired[float]  # wall time of the last session
    trained_seconds: float  # of all runs
    by_strategy: NotRequired[dict[str, float]]  # training, by label; shared runs count for each
    joint: NotRequired[float | None]  # training of the joint reference


class StreamDocument(TypedDict):
    """The file of a stream."""

    results: StreamResults  # what was found
    cost: StreamCost  # what it took
    provenance: Provenance  # with what
