"""Attention's projections, all normalizations and the input embeddings: where LongLoRA (arXiv 2309.12307) trains."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.placements.base import linear_modules
from rankwise.adapters.placements.input_embeddings import InputEmbeddings
from rankwise.adapters.placements.norms import Norms
from rankwise.adapters.placements.several_places import SeveralPlaces
from rankwise.models.structure import ATTENTION_OUTPUT, QUERY_KEY_VALUE


@dataclass(frozen=True)
class LongContextPlaces(SeveralPlaces):
    """All three places."""

    name: ClassVar[str] = "long-context-places"

    def places(self, model: nn.Module) -> dict[str, Collection[str]]:
        """Return attention's linear modules, the normalizations and the table."""
        linear = [n for n in linear_modules(model) if QUERY_KEY_VALUE.search(n) or ATTENTION_OUTPUT.search(n)]
        return {
            "attention projection": linear,
            "normalization that can be adapted": Norms().candidates(model),
            "input embeddings that can be adapted": InputEmbeddings().candidates(model),
        }
