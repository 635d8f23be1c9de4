"""s = alpha, whatever the rank (VeRA and others use 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.scalings.base import Scaling


@dataclass(frozen=True)
class Constant(Scaling):
    """The scale is alpha itself."""

    name: ClassVar[str] = "constant"

    def factor(self, alpha: float, rank: int) -> float:
        """Return ``alpha``."""
        return float(alpha)

    def formula(self, alpha: float, rank: int) -> str:
        """Return alpha as text."""
        return f"{alpha:g}"
