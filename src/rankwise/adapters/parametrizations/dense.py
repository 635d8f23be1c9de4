"""A whole matrix beside W0: what optimizers that work on full gradients train (GaLore, Flora).

    W = W0 + D          D: (d_out, d_in), zero at the start

W0 itself stays as it is: D is the change of W in the factors' precision, so that no update is rounded into a narrow
weight. It has no rank and no scale; its memory is that of full fine-tuning, its optimizer's may be much less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project


@dataclass(frozen=True)
class Dense(Delta):
    """D."""

    name: ClassVar[str] = "dense"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """d_out * d_in parameters."""
        return {"D": (d_out, d_in)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return D = 0."""
        W0 = host.W0
        return {"D": torch.zeros_like(W0, dtype=torch.promote_types(W0.dtype, torch.float32))}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """One product of W0's size."""
        return project(drop(x), factors["D"])

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """D."""
        return factors["D"].clone()

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """D beside an identity: exact, of rank min(d_out, d_in)."""
        D = factors["D"]
        d_out, d_in = D.shape
        one = torch.eye(min(d_out, d_in), dtype=D.dtype, device=D.device)
        return (one, D) if d_in <= d_out else (D, one)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return ``D``."""
        return "D"
