"""What the shapes of result files are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Point = Annotated[list[float], Field(min_length=2, max_length=2)]  # step, NLL
Number = float | None
Text = str | None


class Open(BaseModel):
    """Strict about kinds (a number is no text), open for more entries."""

    model_config = ConfigDict(extra="allow", strict=True)


class Interval(Open):
    """A number with its interval."""

    estimate: float
    low: float
    high: float


class Fault(Open):
    """A run that failed."""

    run: str
    reason: Text


class Origin(Open):
    """``provenance``."""

    command: str
