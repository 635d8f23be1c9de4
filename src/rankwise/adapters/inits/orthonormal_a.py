"""Orthonormal rows of A, zero B, for training B alone: Asymmetry in Low-Rank Adapters of Foundation Models, Zhu et al.,
2024, arXiv 2402.16842, section 4.

``rows="random"``: uniformly distributed; "top" and "bottom": the right singular vectors of W0 with the largest or
smallest singular values, which are the rows of V^T (the authors' code takes its columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.adapters.orthonormal import orthonormal_columns
from rankwise.errors import UsageError


@dataclass(frozen=True)
class OrthonormalA(Init):
    """A A^T = I, B = 0."""

    name: ClassVar[str] = "orthonormal-a"
    rank_bounded: ClassVar[bool] = True
    rows: Literal["random", "top", "bottom"] = "random"

    def __post_init__(self) -> None:
        if self.rows not in ("random", "top", "bottom"):
            raise UsageError(f"rows of init 'orthonormal-a' must be 'random', 'top' or 'bottom', found {self.rows!r}.")

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw or factorize A."""
        d_out, d_in = W0.shape
        if self.rows == "random":
            A = orthonormal_columns(d_in, rank, W0.dtype, generator).T
        else:
            V = torch.linalg.svd(W0, full_matrices=False).Vh
            A = V[:rank] if self.rows == "top" else V[-rank:]
        return {"A": A, "B": W0.new_zeros(d_out, rank)}
