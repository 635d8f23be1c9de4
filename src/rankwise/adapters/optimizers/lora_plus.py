"""LoRA+: Efficient Low Rank Adaptation of Large Models, Hayou et al., 2024, arXiv 2402.12354.

Section 4: features are learned efficiently at large width when lr_A = O(1/n) and lr_B = O(1), so lr_B = ratio * lr_A
with a fixed ratio; 2^4 = 16 is reported as the paper's choice and not verified. As in the authors' code, vectors
(DoRA's magnitude) move with B. The run's learning rate is A's: with a large ratio, about half of what plain LoRA takes
is a good start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.optimizers.base import Optimizer
from rankwise.errors import UsageError


@dataclass(frozen=True)
class LoRAPlus(Optimizer):
    """B and vectors at ``ratio`` times the run's learning rate; ratio 1 is LoRA, bit for bit."""

    name: ClassVar[str] = "lora-plus"
    ratio: float = 16.0

    def __post_init__(self) -> None:
        number = isinstance(self.ratio, (int, float)) and not isinstance(self.ratio, bool)
        if not number or not 1 <= self.ratio < float("inf"):
            raise UsageError(f"ratio must be a number of at least 1 (lr of B over lr of A), found {self.ratio!r}.")
        object.__setattr__(self, "ratio", float(self.ratio))  # 16 and 16.0 are one choice, with one run key

    def multiplier(self, factor: str, ndim: int) -> float:
        """Return ``ratio`` for B and for vectors, 1 for A."""
        return self.ratio if factor == "B" or ndim < 2 else 1.0

    def describe(self) -> str:
        """Return for instance ``lr of B x 16``."""
        return f"lr of B x {self.ratio:g}"
