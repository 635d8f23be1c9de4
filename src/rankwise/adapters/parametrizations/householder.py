"""A chain of reflections: HRA, Yuan et al., 2024, arXiv 2405.17484, equation 3.

    W = W0 @ H_1 ... H_r,  H_i = I - 2 u_i u_i^T / |u_i|^2          U: (rank, d_in), its rows the u_i

Neighbors start equal and cancel (u_1 = u_2, ...), so the rank is even. The product is I - V T V^T with V the normalized
vectors and T upper triangular, which makes the update plain LoRA of rank r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes
from rankwise.adapters.parametrizations.rotation import Rotation
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Householder(Rotation):
    """W0 times reflections."""

    name: ClassVar[str] = "householder"
    rate: ClassVar[float] = 3.0
    ranked: ClassVar[bool] = True

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse an odd rank, which would change the model at the start."""
        if rank % 2:
            raise UsageError(
                f"'householder' needs an even rank, found {rank}: pairs of equal reflections cancel at the start, an "
                "odd one would change the model."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """rank * d_in parameters."""
        return {"U": (rank, d_in)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw half of the vectors Kaiming-uniform, each twice."""
        d_in = host.W0.shape[1]
        bound = (rank // 2) ** -0.5  # the columns of PEFT's (d_in, rank / 2)
        return {"U": host.uniform(generator, bound, rank // 2, d_in).repeat_interleave(2, dim=0)}

    def compact(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return V (rank, d_in), rows of length 1, and upper triangular T with H_1 ... H_r = I - V^T T V."""
        U = factors["U"]
        V = U / U.norm(dim=1, keepdim=True)
        inner, T = V @ V.T, V.new_zeros(0, 0)
        for i in range(len(V)):
            column = torch.cat([-2 * T @ inner[:i, i], V.new_full((1,), 2.0)])
            T = torch.cat([torch.cat([T, T.new_zeros(1, i)]), column[:, None]], dim=1)
        return V, T

    def turned(self, x: Tensor, factors: Factors) -> Tensor:
        """Return -V^T T V x."""
        V, T = self.compact(factors)
        h = linear(x, V.to(x.dtype)).to(V.dtype)  # what cancels at the start must not be rounded to the compute dtype
        return -linear(h, V.T @ T).to(x.dtype)

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """V and -W0 V^T T: rank r."""
        V, T = self.compact(factors)
        return V, -host.scaling * (host.W0.to(V.dtype) @ (V.T @ T))

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return f"W0 + {scale} W0 (H_1 ... H_r - I)"
