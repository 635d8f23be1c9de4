"""Two random factors that are both non-zero and whose product is zero: PEFT's ``"orthogonal"``.

Q is a random orthogonal (rank, rank) matrix; A is built on its even rows and B on its odd rows, so
``B @ A = 0`` because different rows of Q are orthogonal. Both factors get a gradient at step 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Orthogonal(Init):
    """A = (G1 Q_even)^T / 10 and B = G2 Q_odd / 10, so B A = 0 with neither factor zero. Needs an even rank."""

    name: ClassVar[str] = "orthogonal"
    zero: ClassVar[Literal["A", "B", "product", ""]] = "product"
    rank_bounded: ClassVar[bool] = True

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Also refuse an odd rank."""
        super().check(rank, d_out, d_in, module)
        if rank % 2:
            raise UsageError(f"init 'orthogonal' needs an even rank, found {rank}; use {rank + 1} or 'kaiming'.")

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw both factors."""
        d_out, d_in = W0.shape

        def normal(rows: int, columns: int) -> Tensor:
            return torch.randn(rows, columns, generator=generator, dtype=W0.dtype)

        Q, _ = torch.linalg.qr(normal(rank, rank))
        A = (normal(d_in, rank // 2) @ Q[0::2]).T / 10
        B = (normal(d_out, rank // 2) @ Q[1::2]) / 10
        return {"A": A.contiguous(), "B": B}
