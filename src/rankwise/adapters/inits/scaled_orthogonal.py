"""Small orthogonal factors: Deep LoRA, Yaras et al., 2024, arXiv 2406.04112, section 4; the authors' scale is 1e-3.

    A A^T = scale^2 I,  B^T B = scale^2 I

For updates of more than two factors, which such a start leaves near zero while every factor has a gradient.
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
class ScaledOrthogonal(Init):
    """Orthonormal rows of A and columns of B, times ``scale``."""

    name: ClassVar[str] = "scaled-orthogonal"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    rank_bounded: ClassVar[bool] = True
    scale: float = 1e-3

    def __post_init__(self) -> None:
        number = isinstance(self.scale, (int, float)) and not isinstance(self.scale, bool)
        if not number or not 0 < self.scale < float("inf"):
            raise UsageError(f"scale of init 'scaled-orthogonal' must be a positive number, found {self.scale!r}.")
        object.__setattr__(self, "scale", float(self.scale))

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A, then B."""
        d_out, d_in = W0.shape
        A = orthonormal_columns(d_in, rank, W0.dtype, generator).T
        return {"A": self.scale * A, "B": self.scale * orthonormal_columns(d_out, rank, W0.dtype, generator)}
