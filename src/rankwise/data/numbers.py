"""Numbers as text, with the digits that their file has and no others.

A number in text is the shortest one that reads back as the same value in its own precision: Parquet's 32-bit 132.04 is
"132.04" and not the digits of the nearest double. Only JSON can write more digits than a double holds; those stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

SAFE = 16  # characters; a decimal with a point and at most 15 digits comes back from a double as it was


class Written(float):
    """A number that a double cannot give back as its file writes it. ``digits`` is what the file has."""

    digits: str

    def __new__(cls, digits: str) -> Written:
        """Take the number as its file spells it."""
        made = super().__new__(cls, digits)
        made.digits = digits
        return made


def read_float(text: str) -> float:
    """Read a JSON number that has a point or an exponent."""
    value = float(text)
    if len(text) <= SAFE and "e" not in text and "E" not in text:
        return value
    try:
        same = Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:  # an exponent beyond all limits
        same = False
    return value if same else Written(text)


def number_text(value: float | Decimal) -> str:
    """Write a finite number the short way.

    >>> number_text(51.0), number_text(0.1), number_text(1e23), number_text(Decimal("2.50"))
    ('51', '0.1', '1e+23', '2.5')
    """
    if isinstance(value, Written):
        return re.sub(r"\.0+$", "", value.digits)
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, int):
        return str(value)
    return float.__repr__(value).removesuffix(".0") if value else "0"  # a zero has no sign in text


def exact_rows(schema: pyarrow.Schema) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return what turns a row of an Arrow table into the same row with 16- and 32-bit floats by their own digits."""
    narrow = {field.name: change for field in schema if (change := _exact(field.type)) is not None}
    if not narrow:
        return lambda row: row
    return lambda row: {name: narrow[name](value) if name in narrow else value for name, value in row.items()}


def _exact(kind: pyarrow.DataType) -> Callable[[Any], Any] | None:
    """Return the change that values of this type need, at any depth; None when they need none."""
    import numpy as np
    from pyarrow import types

    if types.is_float16(kind) or types.is_float32(kind):
        own = np.float16 if types.is_float16(kind) else np.float32
        return lambda value: None if value is None else float(str(own(value)))
    if types.is_struct(kind):
        of_row = exact_rows(kind)
        changes = any(_exact(field.type) for field in kind)
        return (lambda value: of_row(value) if isinstance(value, Mapping) else value) if changes else None
    if types.is_map(kind):
        key, item = _exact(kind.key_type) or _same, _exact(kind.item_type) or _same
        return lambda pairs: None if pairs is None else [(key(name), item(value)) for name, value in pairs]
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _exact(kind.value_type)
        return inner and (lambda values: None if values is None else [inner(value) for value in values])
    return _exact(kind.value_type) if types.is_dictionary(kind) else None


def _same(value: Any) -> Any:
    return value
