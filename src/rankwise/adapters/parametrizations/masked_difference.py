"""A whole matrix behind a gate for every entry: Parameter-Efficient Transfer Learning with Diff Pruning, Guo et al.,
2020, arXiv 2012.07463, section 3.

    W = W0 + z * D,  z = clip(sigmoid(a) (high - low) + low, 0, 1),  low = -1.5, high = 1.5     D, a: (d_out, d_in)

This is the gate without noise (a hard concrete variable; Louizos et al., 2018, arXiv 1712.01312): what scoring and the
saved update have. The noise of training is event 'hard-concrete', the price of an open gate penalty 'open-gates'. D
starts at zero, a at ``start``, where a gate is fully open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes
from rankwise.adapters.parametrizations.whole_matrix import WholeMatrix
from rankwise.errors import UsageError

LOW, HIGH = -1.5, 1.5


def gate(a: Tensor) -> Tensor:
    """Return z in [0, 1], exactly 0 and exactly 1 at the ends."""
    return (torch.sigmoid(a) * (HIGH - LOW) + LOW).clamp(0, 1)


@dataclass(frozen=True)
class MaskedDifference(WholeMatrix):
    """z * D."""

    name: ClassVar[str] = "masked-difference"
    offers: ClassVar[Literal["", "pair", "switch", "gates"]] = "gates"
    start: float = 5.0

    def __post_init__(self) -> None:
        number = isinstance(self.start, (int, float)) and not isinstance(self.start, bool)
        if not number or not 0 < self.start < float("inf"):
            raise UsageError(f"start of {self.name!r} must be a positive number, found {self.start!r}.")
        object.__setattr__(self, "start", float(self.start))

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """2 d_out d_in parameters while it trains."""
        return {"D": (d_out, d_in), "a": (d_out, d_in)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return D = 0, a = start."""
        return {"D": host.zeros(*host.size), "a": host.zeros(*host.size) + self.start}

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """z * D."""
        return gate(factors["a"]) * factors["D"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """z * D beside an identity: exact, of rank min(d_out, d_in)."""
        return super().plain({"D": self.delta(factors, start)}, start, host)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return ``z * D``."""
        return "z * D"
