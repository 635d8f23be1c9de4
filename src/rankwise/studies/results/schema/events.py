"""``results.json`` of ``rankwise study orthogonalization``."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from rankwise.studies.results.schema.parts import Fault, Provenance


class EventQuestion(TypedDict):
    """What was asked: the resolved settings, of which these are printed."""

    question: str  # as a sentence
    scale: str  # smoke, quick or tutorial
    arms: list[str]  # names, in the order of the table
    duplications: list[int]  # how often each training example is repeated
    ranks: list[int]  # of the adapters
    learning_rates: list[float]  # of the runs
    every: list[int]  # optimizer steps between two events
    seeds: list[int]  # of the runs
    steps: int  # of the optimizer
    batch: int  # examples per step
    alpha: float  # of the adapters
    strength: float  # share of the way that partial events go
    penalty: float  # weight of the soft penalty
    clip: float  # largest norm of the gradient; 0: not clipped
    dtype: str  # of the base
    train: int  # training examples in all
    held_out: int  # examples that are only scored
    placement: str  # which layers


class EventCell(TypedDict):
    """On which model and data."""

    model: str  # name
    data: str  # name
    notes: list[str]  # what to know about both


class EventArm(TypedDict):
    """What the event of one arm did, mean over its runs; null: nothing was measured."""

    arm: str  # name
    label: str  # for people
    duplication: int | None  # null: over all of them
    runs: int  # how many
    diverged: int  # of them
    events: int  # that fired and changed something
    keeps: bool  # whether the event keeps B A as it is
    jump: float | None  # loss after minus before, same examples, nats per token
    largest_jump: float | None  # without its sign
    bf16: float | None  # what casting the factors to bfloat16 does to the loss
    relative_change: float | None  # of B A, by its norm
    coherence_before: float | None  # largest |cos| between two rows of A
    coherence_mean_after: float | None  # the same after the event
    coherence_after: float | None  # the largest of all events
    cosines_moved: float | None  # largest change of a cosine
    remembered: float | None  # NLL of training examples at the end
    held_out: float | None  # NLL of other examples at the end


class EventRun(TypedDict):
    """One run."""

    arm: str  # name
    duplication: int  # how often its examples are repeated
    rank: int  # of the adapter
    lr: float  # learning rate
    every: int  # optimizer steps between two events
    seed: int  # of the order of examples
    status: str  # done, diverged or failed
    reason: str | None  # why it diverged
    losses: list[float]  # of every step
    penalties: dict[str, list[float]]  # by name, of every step
    events: list[dict[str, Any]]  # one record for each that fired: event, step and what changed
    held_out: float | None  # NLL at the end
    remembered: float | None  # NLL at the end


class Answers(TypedDict):
    """The answer as sentences."""

    en: list[str]  # in English
    vi: NotRequired[list[str]]  # in Vietnamese


class EventsResults(TypedDict):
    """What the study found."""

    kind: Literal["events"]  # of result
    study: EventQuestion  # what was asked
    cell: EventCell  # on what
    labels: dict[str, str]  # of the arms, by name
    arms: list[EventArm]  # each over all duplications, then by duplication
    answers: Answers  # by language
    runs: list[EventRun]  # all of them
    faults: list[Fault]  # what failed


class EventsCost(TypedDict):
    """Clocks."""

    seconds: float  # wall time of the last session
    runs: int  # that ended


class EventsDocument(TypedDict):
    """The file of a study of events."""

    results: EventsResults  # what was found
    cost: EventsCost  # what it took
    provenance: Provenance  # with what
