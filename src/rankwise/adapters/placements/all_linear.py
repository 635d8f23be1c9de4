"""Every linear module but the output head: the placement "LoRA Without Regret" (2025) recommends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.base import Placement


@dataclass(frozen=True)
class AllLinear(Placement):
    """All linear modules except the output head."""

    name: ClassVar[str] = "all-linear"

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
