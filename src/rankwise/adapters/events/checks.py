"""What events ask of the numbers they are given, in one sentence each; and how a run is shared out."""

from __future__ import annotations

from rankwise.errors import UsageError


def whole(owner: str, name: str, value: object, least: int = 1, what: str = "") -> None:
    """Raise unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number of at least {least}{what}, found {value!r} (event {owner!r}).")


def share(owner: str, name: str, value: object, low: float = 0.0, high: float = 1.0, *, ends: str = "[]") -> float:
    """Return ``value`` as a float; raise unless it lies between ``low`` and ``high``, ends in or out as in ``ends``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    inside = number and (low < value or (ends[0] == "[" and low == value))  # type: ignore[operator]
    inside = inside and (value < high or (ends[1] == "]" and value == high))  # type: ignore[operator]
    if not inside:
        raise UsageError(
            f"{name} must be a number in {ends[0]}{low:g}, {high:g}{ends[1]}, found {value!r} (event {owner!r})."
        )
    return float(value)  # type: ignore[arg-type]


def steps_of(part: float, steps: int) -> int:
    """Return ``part`` of ``steps``, rounded down."""
    return int(part * steps + 1e-9)


def cubic(step: int, begin: int, end: int) -> float:
    """Return 1 up to ``begin``, 0 from ``end`` on, and between them the cube of the share that is left."""
    if step <= begin:
        return 1.0
    if step >= end:
        return 0.0
    return float((1 - (step - begin) / (end - begin)) ** 3)
