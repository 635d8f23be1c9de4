"""Reading one field as text."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from rankwise.data.numbers import Written, number_text
from rankwise.errors import UsageError


def text_of(value: Any, column: str, where: str) -> str:
    """A string, or a number written the short way (51.0 is "51").

    Raises UsageError for anything else, for blank text, and for text that cannot be written as UTF-8.
    """
    if isinstance(value, float | Decimal) and not math.isfinite(value) and not isinstance(value, Written):
        raise UsageError(f"{where}: {column!r} is {value}, not a number; fill it in or remove the row")
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return number_text(value)
    if not isinstance(value, str):
        raise UsageError(f"{where}: {column!r} must be text, found {type(value).__name__}")
    if not value.strip():
        raise UsageError(f"{where}: {column!r} is empty; fill it in or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, "\ud83d", and tokenizers fail on it
        raise UsageError(
            f"{where}: {column!r} holds half a character (a lone surrogate at position {error.start}); remove it"
        ) from error
    return value


def optional_text(value: Any, column: str, where: str) -> str:
    """As :func:`text_of`, but a missing or blank field is an empty string."""
    missing = value is None or (isinstance(value, str) and not value.strip())
    return "" if missing or (isinstance(value, float) and math.isnan(value)) else text_of(value, column, where)
