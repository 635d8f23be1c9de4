"""The gains and biases of normalizations: Tuning LayerNorm in Attention, Zhao et al., 2023, arXiv 2312.11420.

y = (weight + w) n + bias + b          n: the normalized input, w: (width,), b: (width,) where there is a bias
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Shapes
from rankwise.adapters.parametrizations.shift import Shift


@dataclass(frozen=True)
class NormTuning(Shift):
    """Shifts of a normalization's weight and bias."""

    name: ClassVar[str] = "norm-tuning"
    on_matrices: ClassVar[bool] = False

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number per weight and bias; a normalization without a bias has the shape (width, 1)."""
        return {"w": (d_out,)} if d_in == 1 else {"w": (d_out,), "b": (d_out,)}

    def described_shapes(self) -> dict[str, str]:
        """Return both."""
        return {"w": "(width,)", "b": "(width,), where there is a bias"}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return zeros."""
        width = len(host.W0)
        return {"w": host.zeros(width)} if host.bias is None else {"w": host.zeros(width), "b": host.zeros(width)}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return w n + b."""
        n = host.normalized(x)
        update = factors["w"].to(n.dtype) * n
        return (update + factors["b"].to(n.dtype) if "b" in factors else update).to(x.dtype)

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return w."""
        return factors["w"]

    def dense_bias(self, factors: Factors, start: Factors, host: Host) -> Tensor | None:
        """Return b."""
        return factors.get("b")

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return "(W0 + w) n + bias + b, n = x normalized"
