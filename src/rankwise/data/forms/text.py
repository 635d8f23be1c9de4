"""Reading one field as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rankwise.data.numbers import Written, number_text
from rankwise.errors import UsageError

TEXT_PARTS = ("text", "input_text", "output_text")  # what the type of a part of text is called


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


def joined(value: Any, column: str, where: str) -> Any:
    """The text of content in parts, ``[{"type": "text", "text": "..."}]``; a value of another shape as it is.

    The parts follow each other with nothing between them, as the chat templates of models for text and images write
    them.

    Raises UsageError for a part that is no text, such as an image.
    """
    if not isinstance(value, list) or not value or not all(isinstance(part, Mapping) for part in value):
        return value
    for number, part in enumerate(value, start=1):
        kind = part.get("type", "text" if "text" in part else None)
        if kind not in TEXT_PARTS:
            said = f"is of type {str(kind)[:40]!r}" if kind is not None else "has no type"
            raise UsageError(
                f"{where}: part {number} of {column!r} {said}, and only parts of text are read; remove it or the row"
            )
        if not isinstance(part.get("text"), str):
            raise UsageError(
                f"{where}: part {number} of {column!r} must hold its words under 'text', found "
                f"{type(part.get('text')).__name__}"
            )
    return "".join(part["text"] for part in value)
