"""Two configurations of one study: same, extended, or different and where."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from rankwise.ledger.keys import canonical

_ABSENT = object()
_SHOWN = 120


@dataclass(frozen=True)
class Difference:
    """What distinguishes two configurations.

    Attributes:
        name: dotted name of the first differing setting, in the order of the new configuration.
        old, new: both values as short text, or ``nothing`` where the setting is absent.
        grown: every difference is a growable list that gained items, or a single value that may change.
    """

    name: str
    old: str
    new: str
    grown: bool


def first_difference(
    old: dict[str, Any], new: dict[str, Any], growable: Set[str], aside: Set[str] = frozenset()
) -> Difference | None:
    """Compare two configurations; None when they are the same.

    A change that is not growth is reported before any growth, because it decides what to do.

    Args:
        aside: keys that make no difference, wherever in a configuration they are.
    """
    found = list(_walk(_without(old, aside), _without(new, aside), "", growable))
    return next((d for d in found if not d.grown), found[0] if found else None)


def _without(value: Any, aside: Set[str]) -> Any:
    """Leave out the keys of ``aside``, at any depth."""
    if isinstance(value, dict):
        return {name: _without(inner, aside) for name, inner in value.items() if name not in aside}
    return [_without(inner, aside) for inner in value] if isinstance(value, list) else value


def _walk(old: Any, new: Any, name: str, growable: Set[str]) -> list[Difference]:
    if old is _ABSENT and name.rpartition(".")[0] in growable:  # a new entry of a growable mapping
        return [Difference(name, _shorten(old), _shorten(new), grown=True)]
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*new, *(key for key in old if key not in new)]
        return [
            difference
            for key in names
            for difference in _walk(
                old.get(key, _ABSENT), new.get(key, _ABSENT), f"{name}.{key}" if name else str(key), growable
            )
        ]
    if _spell(old) == _spell(new):
        return []
    grown = _may_grow(name, growable) and _grows(old, new)
    return [Difference(name, _shorten(old), _shorten(new), grown)]


def _may_grow(name: str, growable: Set[str]) -> bool:
    """Return whether ``name`` is listed, or any entry of its parent is (``learning_rates.*``)."""
    return name in growable or f"{name.rpartition('.')[0]}.*" in growable


def _grows(old: Any, new: Any) -> bool:
    """A list that gained items, or a single value that became another."""
    if isinstance(old, list) and isinstance(new, list):
        return _is_subsequence(old, new)
    return not isinstance(old, list | dict) and not isinstance(new, list | dict) and _ABSENT not in (old, new)


def _is_subsequence(old: list[Any], new: list[Any]) -> bool:
    rest = iter([_spell(item) for item in new])
    return all(_spell(item) in rest for item in old)  # `in` consumes the iterator up to the match


def _spell(value: Any) -> str:
    if value is _ABSENT:
        return ""
    try:
        return canonical(value)
    except TypeError:  # a date or another YAML-only type in a hand-edited file: never equal to a JSON value
        return repr(value)


def _shorten(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = _spell(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
