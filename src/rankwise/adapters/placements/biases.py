"""Every layer with a bias, normalizations included: where BitFit (arXiv 2106.10199) trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.hosts import host_of
from rankwise.adapters.placements.base import Placement


@dataclass(frozen=True)
class Biases(Placement):
    """All layers with a bias that can be adapted, but the output head."""

    name: ClassVar[str] = "biases"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the layers that have one."""
        head = getattr(model, "get_output_embeddings", lambda: None)()
        found = {}
        for name, module in model.named_modules():
            host = host_of(module)
            if name and module is not head and host is not None and host.bias(module) is not None:
                found[name] = module
        return found

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
