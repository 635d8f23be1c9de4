"""Kaiming-uniform A, zero B: the common library default for LoRA, arXiv 2106.09685.

With a = sqrt(5) the bound on an (rank, d_in) matrix is exactly 1/sqrt(d_in).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class Kaiming(Init):
    """A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)), B = 0."""

    name: ClassVar[str] = "kaiming"

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A; B is zero, so the model is unchanged at the start."""
        d_out, d_in = W0.shape
        unit = torch.rand(rank, d_in, generator=generator, dtype=W0.dtype)
        return {"A": (2 * unit - 1) / d_in**0.5, "B": W0.new_zeros(d_out, rank)}
