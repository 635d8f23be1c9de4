"""The values of a JSON object, each of the type that it must have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankwise.errors import UsageError
from rankwise.reading.json_text import kind_of

LARGEST = 2**31 - 1  # of a whole number: no model has more of anything that is counted
SHOWN = 60  # characters of a value in a sentence


@dataclass(frozen=True)
class Options:
    """A JSON object of options.

    Args:
        values: as the file has them.
        where: the file; it begins every sentence.

    Every method raises UsageError for a value of another type. None counts as absent where a default is known.
    """

    values: Mapping[str, Any]
    where: str

    def count(self, name: str, value: Any, *, least: int = 1, most: int = LARGEST) -> int:
        """Return a whole number from ``least`` to ``most``."""
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"a whole number, at least {least}", value)
        return value

    def number(self, name: str, value: Any) -> float:
        """Return a finite number."""
        if not isinstance(value, bool) and isinstance(value, (int, float)):
            try:
                if math.isfinite(found := float(value)):
                    return found
            except OverflowError:
                pass
        raise self.wrong(name, "a number", value)

    def switch(self, name: str) -> bool:
        """Return true or false; false when it is absent."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.wrong(name, "true or false", value)

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object; an empty one when it is absent."""
        value = self.values.get(name)
        if value is None or isinstance(value, dict):
            return dict(value or {})
        raise self.wrong(name, "an object", value)

    def text(self, name: str) -> str:
        """Return text; "" when it is absent."""
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        raise self.wrong(name, "text", value)

    def names(self, name: str, *, or_pattern: bool = False) -> tuple[str, ...] | str:
        """Return a list of text, empty when it is absent; with ``or_pattern`` also one text as it is."""
        value = self.values.get(name)
        if value is None or (or_pattern and value == ""):
            return ()
        if or_pattern and isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong(name, "a list of text" + (" or one pattern" if or_pattern else ""), value)

    def wrong(self, name: str, expected: str, value: Any) -> UsageError:
        """Return the error of a value that is not ``expected``."""
        try:
            shown = repr(value)
        except (ValueError, RecursionError):  # a number of more digits than Python prints
            shown = kind_of(value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}... ({kind_of(value)})"
        return UsageError(f"{self.where}: {name} must be {expected}, found {shown}.")
