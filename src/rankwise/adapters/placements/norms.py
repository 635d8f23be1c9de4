"""Every normalization that can be adapted: where LN-tuning (arXiv 2312.11420) trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.hosts import host_of
from rankwise.adapters.placements.base import Placement


@dataclass(frozen=True)
class Norms(Placement):
    """All normalizations."""

    name: ClassVar[str] = "norms"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the layers that are one."""
        hosts = {name: (module, host_of(module)) for name, module in model.named_modules() if name}
        return {name: module for name, (module, host) in hosts.items() if host is not None and host.vector}

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
