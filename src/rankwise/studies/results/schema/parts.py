"""What all kinds of result files are made of."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypeVar

from annotated_types import Len, MinLen
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

T = TypeVar("T")
Point = Annotated[list[float], Len(2, 2)]  # a training step and the NLL there
Filled = Annotated[list[T], MinLen(1)]  # a list of at least one


class Interval(TypedDict):
    """A number with its 95 % interval."""

    estimate: float  # the number
    low: float  # lower end
    high: float  # upper end


class Fault(TypedDict):
    """What failed for another reason than its settings; the rest went on without it."""

    run: str  # which run, as the ledger labels it
    reason: str | None  # what went wrong


class Asked(TypedDict, total=False):
    """What the next command needs to know and the recorded one may not say."""

    folder: str  # of this study itself, its cell's when there are several
    model: str  # folder, hub name or built-in name
    data: str  # file, hub name or built-in name
    columns: str | None  # as --columns takes them; null: not chosen
    max_length: int  # tokens at which examples are cut
    test: int  # test examples asked for; the data may have fewer


class Provenance(TypedDict):
    """With what and where it ran."""

    command: str  # as typed, or one that does the same
    rankwise: str | None  # version
    commit: str | None  # of a source checkout; null for an installed wheel
    torch: str | None  # version
    transformers: NotRequired[str | None]  # version
    safetensors: NotRequired[str | None]  # version
    numpy: NotRequired[str | None]  # version
    scipy: NotRequired[str | None]  # version
    python: NotRequired[str]  # version
    platform: NotRequired[str]  # operating system and architecture
    cpu: str | None  # how many of which processor
    threads: NotRequired[int]  # that torch used
    created: str  # when the file was written, in UTC
    numerics_version: NotRequired[int]  # runs of different versions may differ in their last bits
    asked: NotRequired[Asked]  # what the command may leave unsaid
