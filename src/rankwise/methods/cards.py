"""The catalogue: the cards of the methods, listed, found by name, built by name."""

from __future__ import annotations

import sys
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import unknown
from rankwise.methods.card import Card


def catalogue() -> tuple[Card, ...]:
    """Return the card of every method, in the order of the lines in ``methods/__init__.py``."""
    package = sys.modules[__name__.rpartition(".")[0]]
    # A method is what a file of the same name defines: rankwise.methods.lora is lora of rankwise/methods/lora.py.
    files = {f"{package.__name__}.{name}": value for name, value in vars(package).items()}
    return tuple(sys.modules[file].CARD for file, value in files.items() if getattr(value, "__module__", "") == file)


def card(name: str) -> Card:
    """Return one method's card.

    Raises:
        UsageError: unknown name, with near misses.
    """
    for found in catalogue():
        if found.name == name:
            return found
    raise unknown("method", name, (c.name for c in catalogue()))


def build(name: str, **options: Any) -> Adapter | Full:
    """Build a method's spec by catalogue name, for instance ``build("olora", rank=16)``.

    Every method of adapters takes ``events`` too: ``build("dora", events=[{"name": "hidden-key", "keys": 0.2}])``.

    Raises:
        UsageError: an unknown method, an option the method does not take, or an illegal value.
    """
    return card(name).build(**options)
