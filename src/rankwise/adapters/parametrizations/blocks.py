"""Small adapters on disjoint slices: MELoRA, Ren et al., 2024, arXiv 2402.17263, section 3.2.

    W = W0 + s * blockdiag(B_1 A_1, ..., B_N A_N)          A_i: (rank, d_in / N), B_i: (d_out / N, rank)

Stored as A = [A_1 ... A_N]: (rank, d_in) and B = [B_1; ...; B_N]: (d_out, rank), so it has LoRA's count of parameters
and an update of rank N * rank. A_i starts Kaiming-uniform in its own width (bound sqrt(N / d_in)), B at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Shapes, check_divides, check_whole
from rankwise.adapters.parametrizations.pair import Pair


@dataclass(frozen=True)
class Blocks(Pair):
    """``count`` low-rank blocks on the diagonal."""

    name: ClassVar[str] = "blocks"
    needs: ClassVar[frozenset[str]] = frozenset()
    count: int = 2

    def __post_init__(self) -> None:
        check_whole(self, count=self.count)

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer that cannot be cut into equal slices."""
        check_divides(self, "count", self.count, module, d_in=d_in, d_out=d_out)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA, whatever the number of blocks."""
        return {"A": (rank, d_in), "B": (d_out, rank)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw A, zero B."""
        d_out, d_in = host.W0.shape
        return {
            "A": host.uniform(generator, (self.count / d_in) ** 0.5, rank, d_in),
            "B": host.zeros(d_out, rank),
        }

    def pair(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return blockdiag(A_i) (N rank, d_in) and blockdiag(B_i) (d_out, N rank)."""
        A, B = factors["A"].chunk(self.count, dim=1), factors["B"].chunk(self.count, dim=0)
        return torch.block_diag(*A), torch.block_diag(*B)

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Each slice of the input through its own pair."""
        if not x.is_floating_point():
            return super().apply(x, factors, start, drop)
        A, B = factors["A"].to(x.dtype), factors["B"].to(x.dtype)
        rank, N = len(A), self.count
        slices = drop(x).unflatten(-1, (N, -1))
        h = torch.einsum("...ni,rni->...nr", slices, A.view(rank, N, -1))
        return torch.einsum("...nr,nor->...no", h, B.view(N, -1, rank)).flatten(-2)

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense blocks."""
        A, B = factors["A"].chunk(self.count, dim=1), factors["B"].chunk(self.count, dim=0)
        return torch.block_diag(*(b @ a for a, b in zip(A, B, strict=True)))

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(16/8) blockdiag(B_i A_i), 2 blocks``."""
        return f"{scale} blockdiag(B_i A_i), {self.count} blocks"
