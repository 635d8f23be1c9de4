"""Named recipes: a published method is one choice per axis, with its citation. One file per method."""

from __future__ import annotations

import inspect
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import UsageError, unknown
from rankwise.methods import dora as _dora
from rankwise.methods import full as _full
from rankwise.methods import lora as _lora
from rankwise.methods import lora_plus as _lora_plus
from rankwise.methods import olora as _olora
from rankwise.methods import pissa as _pissa
from rankwise.methods import rslora as _rslora
from rankwise.methods.card import Card
from rankwise.methods.placing import placement

_CARDS = tuple(module.CARD for module in (_full, _lora, _rslora, _olora, _pissa, _dora, _lora_plus))

full, lora, rslora, olora, pissa = _full.full, _lora.lora, _rslora.rslora, _olora.olora, _pissa.pissa
dora, lora_plus = _dora.dora, _lora_plus.lora_plus

__all__ = ["Card", "build", "catalogue", "dora", "full", "lora", "lora_plus", "olora", "pissa", "placement", "rslora"]


def catalogue() -> tuple[Card, ...]:
    """Return the card of every method."""
    return _CARDS


def card(name: str) -> Card:
    """Return one method's card.

    Raises:
        UsageError: unknown name, with near misses.
    """
    for found in _CARDS:
        if found.name == name:
            return found
    raise unknown("method", name, (c.name for c in _CARDS))


def build(name: str, **options: Any) -> Adapter | Full:
    """Build a method's spec by catalogue name, for instance ``build("olora", rank=16)``.

    Raises:
        UsageError: an unknown method, an option the method does not take, or an illegal value.
    """
    found = card(name)
    accepted = inspect.signature(found.build).parameters
    for option in options:
        if option not in accepted:
            takes = ", ".join(accepted) or "no options"
            raise UsageError(f"method {name!r} has no option {option!r}; it takes {takes}.")
    return found.build(**options)
