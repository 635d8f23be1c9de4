"""The parametrization's own published start: for those whose factors are not A and B (VeRA, (IA)3, BitFit)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class Own(Init):
    """Gives nothing; the parametrization completes itself."""

    name: ClassVar[str] = "own"
    gives: ClassVar[frozenset[str]] = frozenset()
    zero: ClassVar[Literal["A", "B", "product", ""]] = "product"

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Return nothing."""
        return {}
