"""Placement names at the edge: ``all-linear``, ``attention``, ``mlp``, ``regex:PATTERN``, ``q_proj,v_proj``."""

from __future__ import annotations

from rankwise.adapters.axis import resolve
from rankwise.adapters.placements import PLACEMENTS, Placement, Regex, Suffixes
from rankwise.errors import unknown


def placement(value: str | Placement) -> Placement:
    """Turn a person's text into a placement.

    Raises:
        UsageError: an unknown word that is neither a placement nor looks like a list of module names.
    """
    if isinstance(value, Placement):
        return value
    if value.startswith("regex:"):
        return Regex(value.removeprefix("regex:"))
    if value in PLACEMENTS:
        return resolve("placement", PLACEMENTS, value)
    if "," in value or "_" in value:
        return Suffixes(tuple(part.strip() for part in value.split(",") if part.strip()))
    hint = "or regex:PATTERN, or module names such as q_proj,v_proj"
    raise unknown("placement", value, set(PLACEMENTS) - {"regex", "suffixes"}, hint=hint)
