"""BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models, Ben Zaken et al., 2021,
arXiv 2106.10199: only the biases train.

    y = W0 x + bias + d          d: (d_out,)

Deviations: what trains is the difference d from the base's bias, which is copied on write in this way; the model's
task head is not included. Weight decay, where asked for, is on matrices only, so that d and bias train alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Shapes
from rankwise.adapters.parametrizations.shift import Shift


@dataclass(frozen=True)
class BiasShift(Shift):
    """A shift of the layer's output."""

    name: ClassVar[str] = "bias"

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number per output."""
        return {"d": (d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return d = 0."""
        return {"d": host.zeros(len(host.W0))}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return d for every row."""
        return factors["d"].to(x.dtype).expand(*x.shape[:-1], -1)

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return zero: the weight keeps its values."""
        return torch.zeros_like(host.W0, dtype=factors["d"].dtype)

    def dense_bias(self, factors: Factors, start: Factors, host: Host) -> Tensor | None:
        """Return d."""
        return factors["d"]

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return "W0 x + bias + d"
