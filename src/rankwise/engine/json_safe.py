"""Records that JSON can hold: a number that is not finite (a run that is about to diverge has some) becomes None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Return ``value`` (dicts, lists, plain values) with None in place of every NaN and infinity.

    >>> finite({"loss": float("nan"), "kept": [1, float("inf")]})
    {'loss': None, 'kept': [1, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(own) for key, own in value.items()}
    return [finite(own) for own in value] if isinstance(value, list | tuple) else value
