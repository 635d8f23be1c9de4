"""Orthogonal fine-tuning: OFT, Qiu et al., 2023, arXiv 2306.07280, section 4.

    W = W0 @ R,  R = blockdiag(R_1, ...),  R_i = (I + S_i) (I - S_i)^-1 (Cayley's form)

S_i: (block, block) is skew-symmetric; its entries above the diagonal train, starting at zero. Deviation: the inverse is
exact (PEFT's default takes five terms of its series).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes, check_divides, check_whole
from rankwise.adapters.parametrizations.rotation import Rotation, cayley_minus_identity, skew


@dataclass(frozen=True)
class OrthogonalBlocks(Rotation):
    """W0 R with R block-diagonal."""

    name: ClassVar[str] = "orthogonal-blocks"
    rate: ClassVar[float] = 0.3
    block: int = 32

    def __post_init__(self) -> None:
        check_whole(self, block=self.block)

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer whose input is no whole number of blocks."""
        check_divides(self, "block", self.block, module, d_in=d_in)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """block (block - 1) / 2 numbers for each of d_in / block blocks."""
        return {"S": (d_in // self.block, self.block * (self.block - 1) // 2)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return S = 0."""
        return {"S": host.zeros(*self.shapes(*host.size, rank)["S"])}

    def described_shapes(self) -> dict[str, str]:
        """Return S with the number of blocks by name."""
        return {"S": f"(d_in/{self.block}, {self.block * (self.block - 1) // 2})"}

    def turned(self, x: Tensor, factors: Factors) -> Tensor:
        """Every slice of x by its own block."""
        G = cayley_minus_identity(skew(factors["S"], self.block)).to(x.dtype)
        return torch.einsum("...bi,boi->...bo", x.unflatten(-1, (-1, self.block)), G).flatten(-2)

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return f"W0 + W0 (R - I), R orthogonal in blocks of {self.block}"
