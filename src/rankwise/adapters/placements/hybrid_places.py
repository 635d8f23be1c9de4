"""Queries, keys, values, the end of the MLP and the input embeddings: where the hybrid (arXiv 2403.14608) goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.parametrizations.hybrid import QUERY_KEY_VALUE
from rankwise.adapters.parametrizations.ia3 import LAST_PROJECTION
from rankwise.adapters.placements.base import Placement, linear_modules
from rankwise.adapters.placements.input_embeddings import InputEmbeddings
from rankwise.errors import UsageError


@dataclass(frozen=True)
class HybridPlaces(Placement):
    """All three places, each of which the model must have."""

    name: ClassVar[str] = "hybrid-places"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules of all three.

        Raises:
            UsageError: one of the places is missing.
        """
        table, linear = InputEmbeddings().candidates(model), linear_modules(model)
        attention = [name for name in linear if QUERY_KEY_VALUE.search(name)]
        ends = [name for name in linear if LAST_PROJECTION.search(name)]
        places = {
            "query, key and value projections": attention,
            "last projection of an MLP": ends,
            "input embeddings that can be adapted": table,
        }
        for what, found in places.items():
            if not found:
                raise UsageError(f"placement {self.name!r} finds no {what} in this {type(model).__name__}; use 'lora'.")
        chosen = {*attention, *ends, *table}
        return {name: module for name, module in model.named_modules() if name in chosen}

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
