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

from rankwise.adapters.parametrizations.base import Dense, Factors, Host, Shapes


@dataclass(frozen=True)
class WholeMatrix(Dense):
    """D."""

    name: ClassVar[str] = "whole-matrix"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    rate: ClassVar[float] = 0.1  # full fine-tuning's

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """d_out * d_in parameters."""
        return {"D": (d_out, d_in)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return D = 0."""
        return {"D": host.zeros(*host.W0.shape)}

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """D."""
        return factors["D"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """D beside an identity: exact, of rank min(d_out, d_in)."""
        D = factors["D"]
        d_out, d_in = D.shape
        one = torch.eye(min(d_out, d_in), dtype=D.dtype, device=D.device)
        return (one, D) if d_in <= d_out else (D, one)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return ``D``."""
        return "D"
