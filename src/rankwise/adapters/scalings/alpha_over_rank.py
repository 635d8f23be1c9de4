"""s = alpha / rank: LoRA, Hu et al., 2021, arXiv 2106.09685, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.scalings.base import Scaling


@dataclass(frozen=True)
class AlphaOverRank(Scaling):
    """LoRA's own scaling: at constant alpha a higher rank is quieter per component."""

    name: ClassVar[str] = "alpha/r"
    inverse: ClassVar[bool] = True

    def factor(self, alpha: float, rank: int) -> float:
        """Return ``alpha / rank``."""
        return alpha / rank

    def formula(self, alpha: float, rank: int) -> str:
        """Return for instance ``(32/16)``."""
        return f"({alpha:g}/{rank})"
