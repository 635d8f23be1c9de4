"""Groups of the catalogue that a study can name: ``--methods all``, ``--methods dynamics``."""

from __future__ import annotations

from collections.abc import Callable

from rankwise.errors import unknown
from rankwise.methods import catalogue


def _all() -> tuple[str, ...]:
    return tuple(card.name for card in catalogue() if card.name != "full")


def _dynamics() -> tuple[str, ...]:
    """Methods with events or with a step of their own, after plain LoRA to hold them against."""
    acting = (card for card in catalogue() if card.axes.get("events") or card.axes.get("optimizer"))
    return ("lora", *(card.name for card in acting))


GROUPS: dict[str, Callable[[], tuple[str, ...]]] = {"all": _all, "dynamics": _dynamics}


def methods_named(group: str) -> tuple[str, ...]:
    """Return the catalogue names of the methods of ``group``, full fine-tuning left out.

    Raises:
        UsageError: an unknown group, with near misses.
    """
    if group not in GROUPS:
        raise unknown("group of methods", group, GROUPS)
    return GROUPS[group]()
