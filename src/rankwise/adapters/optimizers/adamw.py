"""AdamW with one learning rate: Loshchilov and Hutter, 2019, arXiv 1711.05101."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.optimizers.base import Optimizer


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Every factor at the run's learning rate."""

    name: ClassVar[str] = "adamw"

    def multiplier(self, factor: str, ndim: int) -> float:
        """Return 1."""
        return 1.0

    def describe(self) -> str:
        """Return nothing: the usual case."""
        return ""
