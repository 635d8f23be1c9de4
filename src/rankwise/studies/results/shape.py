"""The shape that a result file must have before anything reads it: which entries, of which kind. More may be there.

A file of our own states a digest and has this shape; one without a digest may have been written by anyone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from rankwise.errors import UsageError
from rankwise.studies.results.other_shapes import EventsDocument, StreamDocument
from rankwise.studies.results.parts import Fault, Interval, Number, Open, Origin, Point, Text

AGAIN = "run the study again, finished runs are kept"
_SHOWN = 60
_NEEDS = {
    "missing": "is missing",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}


class Word(Open):
    """A verdict on an arm."""

    word: str
    sentence: str
    contrast: Interval | None
    needs: Text


class RunOf(Open):
    """One run of an arm."""

    lr: float
    status: str
    selection_nll: Number
    curve: list[Point]


class Fresh(RunOf):
    """One run on a fresh seed."""

    test_nll: Number


class Trend(Open):
    """How a gap develops."""

    slope: float
    low: float
    high: float
    widening: bool


class Fit(Open):
    """The parabola through an arm's best values."""

    lr: Number
    nll: Number
    coefficients: Annotated[list[Number], Field(min_length=3, max_length=3)]


class ArmOf(Open):
    """One arm."""

    name: str
    label: str
    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    reference: bool
    rank: int | None
    alpha: Number
    alpha_over_rank: Number
    scaling: Number
    placement: Text
    formula: str
    batch: int | None = None  # an older file has one for all arms
    trainable: int | None
    flops: Number
    learning_rates: list[RunOf]
    best_lr: Number
    bracketed: bool
    widened: bool | int
    best_of_sweep: list[Point]
    fresh: list[Fresh]
    test_nll: Number
    regret: Interval | None
    recovery: Interval | None
    fit: Fit | None = None  # an older file has none
    verdict: Word
    trend: Trend | None


class Asked(Open):
    """What was asked."""

    preset: str
    scale: str
    margin: float
    seed: int
    fresh_seeds: list[int]


class Cell(Open):
    """On what."""

    model: str
    data: str
    train: int
    selection: int
    test: int
    test_targets: int
    base_fingerprint: str
    data_fingerprint: str
    notes: list[str] = Field(default_factory=list)


class Training(Open):
    """How."""

    steps: int
    batch: int
    schedule: str
    optimizer: str
    clip: float
    dtype: str
    eval_steps: list[int]


class Untouched(Open):
    """The base's own scores."""

    selection_nll: float
    test_nll: float


class Conclusion(Open):
    """The study's own verdict."""

    headline: str
    recommended: Text
    reason: str


class StudyResults(Open):
    """``results`` of a study."""

    study: Asked
    cell: Cell
    training: Training
    base: Untouched
    arms: Annotated[list[ArmOf], Field(min_length=1)]
    verdict: Conclusion
    traps: list[str]
    faults: list[Fault]


class StudyCost(Open):
    """``cost`` of a study."""

    arms: dict[str, dict[str, Any]]
    runs: int
    study_seconds: float


class StudyDocument(Open):
    """The file of a study."""

    results: StudyResults
    cost: StudyCost
    provenance: Origin


KINDS: dict[str | None, type[BaseModel]] = {None: StudyDocument, "events": EventsDocument, "stream": StreamDocument}


def check_shape(document: dict[str, Any], path: Path) -> None:
    """Check the entries of a result file that everybody reads.

    Raises:
        UsageError: one is missing or of another kind; the first is named.
    """
    kind = document["results"].get("kind")
    if not isinstance(kind, str | None) or kind not in KINDS:
        raise UsageError(f"{path}: results of kind {_short(kind)} are not known to this rankwise; {AGAIN}.")
    try:
        KINDS[kind].model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
        need = _NEEDS.get(first["type"], first["msg"])
        raise UsageError(f"{path} is not a result file: {where} {need}{found}; {AGAIN}.") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
