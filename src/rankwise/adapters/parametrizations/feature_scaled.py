"""Two factors with a trained vector behind each: AFLoRA, Liu et al., 2024, arXiv 2403.13269, equation 1.

    W = W0 + s * diag(b) B diag(d) A        A: (rank, d_in), B: (d_out, rank), d: (rank,), b: (d_out,)

As VeRA's form, but A and B belong to the layer and train (an event freezes them in time). b = 0 at the start, and d is
a small constant.

Deviations from the paper: the constant, 0.1, is VeRA's. The paper has no s; the method takes 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project

D_START = 0.1


@dataclass(frozen=True)
class FeatureScaled(Delta):
    """diag(b) B diag(d) A."""

    name: ClassVar[str] = "feature-scaled"
    gated: ClassVar[bool] = True
    rate: ClassVar[float] = 10.0  # VeRA's: b is what opens the update

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """rank * (d_in + d_out) + rank + d_out parameters."""
        return {"A": (rank, d_in), "B": (d_out, rank), "d": (rank,), "b": (d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return d = 0.1, b = 0."""
        B = factors["B"]
        return {"d": B.new_full((rank,), D_START), "b": B.new_zeros(B.shape[0])}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products, each with a scaling behind it."""
        h = project(drop(x), factors["A"])
        h = linear(h * factors["d"].to(h.dtype), factors["B"].to(h.dtype))
        return h * factors["b"].to(h.dtype)

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense diag(b) B diag(d) A."""
        return factors["b"][:, None] * (factors["B"] * factors["d"]) @ factors["A"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s diag(b) B diag(d)."""
        return factors["A"], host.scaling * factors["b"][:, None] * (factors["B"] * factors["d"])

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``1 diag(b) B diag(d) A``."""
        return f"{scale} diag(b) B diag(d) A"
