"""One matrix over all shards of the input: MiSS (first named Bone), Kang and Yin, 2024, arXiv 2409.15371.

    W = W0 + D @ [I I ... I]          D: (d_out, rank), I: (rank, rank), as many as d_in holds, the last one cut

The input is cut into pieces of ``rank`` numbers, the pieces are summed, and D maps the sum. D starts at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project


@dataclass(frozen=True)
class Shards(Delta):
    """D times the sum of the input's pieces."""

    name: ClassVar[str] = "shards"
    rate: ClassVar[float] = 0.1
    needs: ClassVar[frozenset[str]] = frozenset()

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """rank * d_out parameters."""
        return {"D": (d_out, rank)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return an empty tensor: the input's width, which D does not tell."""
        return {"size": (d_in, 0)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return D = 0."""
        d_out, d_in = host.W0.shape
        return {"D": host.zeros(d_out, rank), "size": host.zeros(d_in, 0)}

    def described_shapes(self) -> dict[str, str]:
        """Return D."""
        return {"D": "(d_out, r)"}

    def ones(self, factors: Factors) -> Tensor:
        """Return [I I ... I] (rank, d_in)."""
        D, (d_in, _) = factors["D"], factors["size"].shape
        rank = D.shape[1]
        return torch.eye(rank, dtype=D.dtype, device=D.device).repeat(1, -(-d_in // rank))[:, :d_in]

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Sum the pieces, one thin product."""
        D = factors["D"]
        rank = D.shape[1]
        if not x.is_floating_point():
            h = project(x, self.ones(factors))
            return linear(h, D.to(h.dtype))
        x = drop(x)
        h = pad(x, (0, -x.shape[-1] % rank)).unflatten(-1, (-1, rank)).sum(-2)
        return linear(h, D.to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense D [I ... I]."""
        return factors["D"] @ self.ones(factors)

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """[I ... I] and s D: plain LoRA of rank r."""
        return self.ones(factors), host.scaling * factors["D"]

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``1 D [I ... I]``."""
        return f"{scale} D [I ... I]"
