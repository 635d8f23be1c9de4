"""Groups of the catalogue that a study can name: ``--methods all``."""

from __future__ import annotations

from collections.abc import Callable

from rankwise.errors import unknown
from rankwise.methods import catalogue


def _all() -> tuple[str, ...]:
    return tuple(card.name for card in catalogue() if card.name != "full")


GROUPS: dict[str, Callable[[], tuple[str, ...]]] = {"all": _all}


def methods_named(group: str) -> tuple[str, ...]:
    """Return the catalogue names of the methods of ``group``, full fine-tuning left out.

    Raises:
        UsageError: an unknown group, with near misses.
    """
    if group not in GROUPS:
        raise unknown("group of methods", group, GROUPS)
    return GROUPS[group]()
