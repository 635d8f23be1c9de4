"""s = alpha / sqrt(rank): rsLoRA, Kalajdzievski, 2023, arXiv 2312.03732, theorem 3.2.

With A of variance Θ(1/d_in) and B learned by gradient, outputs and input gradients of the adapter stay
Θ(1) in the rank exactly when s is in Θ(1/sqrt(rank)); under alpha/rank both vanish as the rank grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.scalings.base import Scaling


@dataclass(frozen=True)
class AlphaOverSqrtRank(Scaling):
    """Rank-stabilized scaling."""

    name: ClassVar[str] = "alpha/sqrt(r)"

    def factor(self, alpha: float, rank: int) -> float:
        """Return ``alpha / sqrt(rank)``."""
        return alpha / math.sqrt(rank)

    def formula(self, alpha: float, rank: int) -> str:
        """Return for instance ``(32/√16)``."""
        return f"({alpha:g}/√{rank})"
