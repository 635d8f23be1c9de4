"""What events ask of the numbers they are given and of the adapter they act on, in one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


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


def low_rank(owner: str, adapter: Composition, *, doing: str) -> None:
    """Refuse what is not plain B A with both factors training, started beside the base as it is."""
    from rankwise.adapters.parametrizations import LowRank

    if type(adapter.parametrization) is not LowRank:
        raise UsageError(
            f"event {owner!r} {doing} and needs parametrization 'low-rank', found {adapter.parametrization.name!r}."
        )
    if adapter.init.edits_base or adapter.init.quantized:
        raise UsageError(
            f"event {owner!r} {doing} beside the base as it is and needs an init that does not edit it, such "
            f"as 'kaiming', found {adapter.init.name!r}."
        )
    if frozen := adapter.freezing.describe():
        raise UsageError(f"event {owner!r} {doing}, so both must train; found {frozen}.")


def restarts(owner: str, adapter: Composition) -> None:
    """Refuse an init that cannot be drawn again while training."""
    if adapter.init.needs_data:
        raise UsageError(
            f"event {owner!r} draws new starts while training and needs an init that does not look at data, "
            f"such as 'kaiming', found {adapter.init.name!r}."
        )


def diagonal(owner: str, adapter: Composition) -> None:
    """Refuse an update without a trained number per component that switches it off when zero."""
    from rankwise.adapters.parametrizations import Diagonal

    if not isinstance(adapter.parametrization, Diagonal) or "e" not in adapter.trained_shapes("", 8, 8):
        raise UsageError(
            f"event {owner!r} switches components off by their factor e, which parametrization "
            f"{adapter.parametrization.name!r} with {adapter.freezing.describe() or 'everything training'} does not "
            "train; use 'diagonal' or 'gated'."
        )


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
