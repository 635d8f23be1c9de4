"""The table of input embeddings: where prompt tuning (arXiv 2104.08691) puts its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.orientation import is_embedding
from rankwise.adapters.placements.base import Placement


@dataclass(frozen=True)
class InputEmbeddings(Placement):
    """The one table that token ids are looked up in."""

    name: ClassVar[str] = "input-embeddings"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return it, when the model says which it is and it can be adapted."""
        table = getattr(model, "get_input_embeddings", lambda: None)()
        names = [name for name, module in model.named_modules() if name and module is table]
        return {name: model.get_submodule(name) for name in names if is_embedding(model.get_submodule(name))}

    def matches(self, names: list[str]) -> list[str]:
        """Return it."""
        return names
