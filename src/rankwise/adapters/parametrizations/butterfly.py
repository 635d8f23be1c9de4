"""Butterfly factors of an orthogonal matrix: BOFT, Liu et al., 2023, arXiv 2311.06243, section 4.

    W = diag(g) W0 @ R_1 ... R_m,  R_i orthogonal, block-diagonal after a butterfly permutation

Factor i mixes halves of blocks that lie 2^(i-1) halves apart, so m factors of blocks of size b join b 2^(m-1) inputs
where OFT's joins b. Each block is Cayley's form of a skew-symmetric matrix, whose entries above the diagonal train from
zero; g: (d_out,) starts at one. One factor is OFT with a gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Shapes, check_divides, check_whole
from rankwise.adapters.parametrizations.rotation import Rotation, cayley_minus_identity, skew
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Butterfly(Rotation):
    """diag(g) W0 R with R a product of ``factors`` butterfly factors."""

    name: ClassVar[str] = "butterfly"
    block: int = 4
    factors: int = 1

    def __post_init__(self) -> None:
        check_whole(self, block=self.block, factors=self.factors)
        if self.factors > 1 and self.block % 2:
            raise UsageError(f"block of 'butterfly' must be even for more than one factor, found {self.block}.")

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer whose input is no whole number of what the factors join."""
        check_divides(self, "block x 2^(factors - 1)", self.block * 2 ** (self.factors - 1), module, d_in=d_in)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """OFT's numbers for each factor, and one gain for each output."""
        return {"S": (self.factors, d_in // self.block, self.block * (self.block - 1) // 2), "g": (d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return S = 0, g = 1."""
        shapes = self.shapes(*host.size, rank)
        return {"S": host.zeros(*shapes["S"]), "g": host.zeros(*shapes["g"]) + 1}

    def described_shapes(self) -> dict[str, str]:
        """Return S with the number of blocks by name."""
        return {"S": f"({self.factors}, d_in/{self.block}, {self.block * (self.block - 1) // 2})", "g": "(d_out,)"}

    def turned(self, x: Tensor, factors: Factors) -> Tensor:
        """The last factor first: R_1 (... (R_m x)), as what it adds to x."""
        G = cayley_minus_identity(skew(factors["S"], self.block)).to(x.dtype)
        more = torch.zeros_like(x)
        for level in reversed(range(self.factors)):
            more = more + self._level(x + more, G[level], level)
        return more

    def _level(self, x: Tensor, G: Tensor, level: int) -> Tensor:
        """Return one factor's (R - I) x: halves ``2^level`` apart are brought side by side, mixed and put back."""
        if level == 0:
            return torch.einsum("...bi,boi->...bo", x.unflatten(-1, (-1, self.block)), G).flatten(-2)
        half, apart = self.block // 2, 2**level
        pairs = x.unflatten(-1, (-1, 2, apart, half)).transpose(-3, -2)
        mixed = torch.einsum("...bi,boi->...bo", pairs.flatten(-2).flatten(-3, -2), G)
        return mixed.unflatten(-2, (-1, apart)).unflatten(-1, (2, half)).transpose(-3, -2).flatten(-4)

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return (g - 1) W0 x + g W0 (R - I) x."""
        g = factors["g"]
        turned = host.product(self.turned(x, factors))
        return (g - 1).to(x.dtype) * host.product(x) + g.to(x.dtype) * turned

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return (g - 1) W0 + g W0 (R - I)."""
        g = factors["g"][:, None]
        return (g - 1) * host.W0.to(g.dtype) + g * super().dense({"S": factors["S"]}, start, host)

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return f"W0 + (diag(g) W0 R - W0), R of {self.factors} butterfly factors in blocks of {self.block}"
