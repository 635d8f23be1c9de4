"""Zero A, and B the left singular vectors of W0 with the smallest singular values, for training A alone: Minor
Component Adaptation (MiCA), arXiv 2604.01694, as PEFT's init "mica" has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class MinorLeft(Init):
    """A = 0, B^T B = I."""

    name: ClassVar[str] = "minor-left"
    zero: ClassVar[Literal["A", "B", "product", ""]] = "A"
    rank_bounded: ClassVar[bool] = True

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0; nothing is random."""
        U = torch.linalg.svd(W0, full_matrices=False).U
        return {"A": W0.new_zeros(rank, W0.shape[1]), "B": U[:, -rank:]}
