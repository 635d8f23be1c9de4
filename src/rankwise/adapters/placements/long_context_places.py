"""Attention's projections, all normalizations and the input embeddings: where LongLoRA (arXiv 2309.12307) trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.parametrizations.hybrid import QUERY_KEY_VALUE
from rankwise.adapters.parametrizations.long_context import ATTENTION_OUTPUT
from rankwise.adapters.placements.base import Placement, linear_modules
from rankwise.adapters.placements.input_embeddings import InputEmbeddings
from rankwise.adapters.placements.norms import Norms
from rankwise.errors import UsageError


@dataclass(frozen=True)
class LongContextPlaces(Placement):
    """All three places, each of which the model must have."""

    name: ClassVar[str] = "long-context-places"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules of all three.

        Raises:
            UsageError: one of the places is missing.
        """
        linear = [n for n in linear_modules(model) if QUERY_KEY_VALUE.search(n) or ATTENTION_OUTPUT.search(n)]
        places = {
            "attention projection": linear,
            "normalization that can be adapted": Norms().candidates(model),
            "input embeddings that can be adapted": InputEmbeddings().candidates(model),
        }
        for what, found in places.items():
            if not found:
                raise UsageError(f"placement {self.name!r} finds no {what} in this {type(model).__name__}; use 'lora'.")
        chosen = {name for found in places.values() for name in found}
        return {name: module for name, module in model.named_modules() if name in chosen}

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
