"""Queries, keys, values, the end of the MLP and the input embeddings: where the hybrid (arXiv 2403.14608) goes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.placements.base import linear_modules
from rankwise.adapters.placements.input_embeddings import InputEmbeddings
from rankwise.adapters.placements.several_places import SeveralPlaces
from rankwise.models.structure import LAST_PROJECTION, QUERY_KEY_VALUE


@dataclass(frozen=True)
class HybridPlaces(SeveralPlaces):
    """All three places."""

    name: ClassVar[str] = "hybrid-places"

    def places(self, model: nn.Module) -> dict[str, Collection[str]]:
        """Return the linear modules of two kinds, and the table."""
        linear = linear_modules(model)
        return {
            "query, key and value projections": [name for name in linear if QUERY_KEY_VALUE.search(name)],
            "last projection of an MLP": [name for name in linear if LAST_PROJECTION.search(name)],
            "input embeddings that can be adapted": InputEmbeddings().candidates(model),
        }
