"""One spelling per value, so that equal specs have equal keys on every machine and in every version.

A run's key names what determines its numbers (its spec, its base, its data, the numerics version) and
nothing else, so the same run in another study, folder or release is the same key.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from rankwise.errors import UsageError

KEY_LENGTH = 16


def canonical(obj: Any) -> str:
    """Spell ``obj`` as canonical JSON: ASCII, sorted keys, no spaces, floats by ``repr`` (they read back exactly).

    Tuples are spelled as lists; 1 and 1.0 are different.

    Raises:
        UsageError: a NaN or an infinity, which JSON has no spelling for; the message names its place.
        TypeError: a value that is not None, bool, int, float, str, list, tuple or dict with string keys.
    """
    _check(obj, "value")
    return json.dumps(obj, sort_keys=True, allow_nan=False, separators=(",", ":"))


def run_key(spec: dict[str, Any], base: str, data: str, numerics_version: int) -> str:
    """Name a run: the first 16 hex digits of the sha256 over its canonical identity.

    Args:
        spec: everything that was chosen for the run (method, learning rate, seed, ...).
        base: fingerprint of the base model.
        data: fingerprint of the splits.
        numerics_version: bumped by hand when a change of ours changes the numbers of a run.
    """
    identity = {"base": base, "data": data, "numerics": numerics_version, "spec": spec}
    return hashlib.sha256(canonical(identity).encode("ascii")).hexdigest()[:KEY_LENGTH]


def _check(obj: Any, place: str) -> None:
    if isinstance(obj, float) and not math.isfinite(obj):
        raise UsageError(f"{place} is {obj}, which cannot be recorded; use a finite number or leave it out")
    if obj is None or isinstance(obj, bool | int | float | str):
        return
    if isinstance(obj, list | tuple):
        for index, item in enumerate(obj):
            _check(item, f"{place}[{index}]")
    elif isinstance(obj, dict):
        for key, item in obj.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}; keys must be strings")
            _check(item, f"{place}.{key}")
    else:
        raise TypeError(f"{place} is a {type(obj).__name__}, which has no canonical spelling")
