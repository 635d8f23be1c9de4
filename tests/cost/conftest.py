"""Which methods the cost tests run: the estimate knows a model by its config, so nothing that looks at data."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from rankwise import methods
from rankwise.adapters import Adapter

SIZES = {"vb_lora": {"length": 4}, "oft": {"block": 4}}  # what cuts every tiny model's layers


def adapters(rank: int) -> dict[str, Callable[[], Adapter]]:
    """Builders by name."""
    found = {}
    for card in methods.catalogue():
        if card.owns_base or card.name == "bitfit":  # the tiny Llama has no bias
            continue
        options = {"rank": rank} if "rank" in inspect.signature(card.build).parameters else {}
        options |= SIZES.get(card.name, {})
        adapter = card.build(**options)
        if not (adapter.init.needs_data or adapter.storage.quantizes):
            found[card.name] = functools.partial(card.build, **options)
    return found
