"""Every module that holds the experts of a mixture in three-dimensional parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.hosts import host_of
from rankwise.adapters.placements.base import Placement


@dataclass(frozen=True)
class Experts(Placement):
    """All experts; attention, routers and shared experts are not among them."""

    name: ClassVar[str] = "experts"

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules that hold stacks."""
        hosts = {name: (module, host_of(module)) for name, module in model.named_modules() if name}
        return {name: module for name, (module, host) in hosts.items() if host is not None and host.stacked}

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
