"""s = alpha / (rank + 1e-5): the code of AdaLoRA (arXiv 2303.10512) and FLoRA (2405.14739) guards against rank 0.

AdaLoRA keeps it at the initial rank while components are pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.scalings.base import Scaling


@dataclass(frozen=True)
class AlphaOverRankEps(Scaling):
    """LoRA's scaling to within 1e-5 / rank."""

    name: ClassVar[str] = "alpha/(r+1e-5)"

    def factor(self, alpha: float, rank: int) -> float:
        """Return ``alpha / (rank + 1e-5)``."""
        return alpha / (rank + 1e-5)

    def formula(self, alpha: float, rank: int) -> str:
        """Return for instance ``(32/16.00001)``."""
        return f"({alpha:g}/{rank}.00001)"
