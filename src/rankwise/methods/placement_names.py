"""Placement names at the edge: ``all-linear``, ``mlp``, ``layers:0-5``, ``regex:PATTERN``, ``q_proj,v_proj``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rankwise.adapters.axis import resolve
from rankwise.adapters.placements import PLACEMENTS, Layers, Placement, Regex, Suffixes
from rankwise.errors import UsageError, unknown


def placement(value: str | Sequence[str] | Placement) -> Placement:
    """Turn a person's text, or list of module names, into a placement.

    Raises:
        UsageError: an unknown word that is neither a placement nor looks like a list of module names.
    """
    if isinstance(value, Placement):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return Suffixes(tuple(value))
    if not isinstance(value, str):
        raise UsageError(f"placement must be a text such as 'all-linear' or a list of module names, found {value!r}.")
    if value.startswith("regex:"):
        return Regex(value.removeprefix("regex:"))
    if value.startswith("layers:"):
        return _layers(value.removeprefix("layers:"))
    if value in PLACEMENTS:
        return resolve("placement", PLACEMENTS, value)
    if "," in value or "_" in value:
        return Suffixes(tuple(part.strip() for part in value.split(",") if part.strip()))
    hint = "or layers:FIRST-LAST, or regex:PATTERN, or module names such as q_proj,v_proj"
    raise unknown("placement", value, set(PLACEMENTS) - {"regex", "suffixes", "layers"}, hint=hint)


def _layers(text: str) -> Layers:
    """Read ``0-5``, ``3`` or ``0-29:3`` (every third)."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", text)
    if not found:
        raise UsageError(f"placement 'layers:{text}' must look like layers:0-5, layers:3 or layers:0-29:3.")
    first, last, step = (None if part is None else int(part) for part in found.groups())
    assert first is not None  # the pattern has it
    return Layers(first, first if last is None else last, step or 1)
