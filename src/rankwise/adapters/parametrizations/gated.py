"""A gate on every component: SoRA, Ding et al., 2023, arXiv 2311.11696, equation 4.

    W = W0 + s * B @ diag(e) @ A          A: (rank, d_in), B: (d_out, rank), e: (rank,), the paper's g, from N(0, 1)

As AdaLoRA's form, but the gates are open at the start, so that B is what is zero. A gate at zero switches its component
off; the exact plain form leaves such components out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host
from rankwise.adapters.parametrizations.diagonal import Diagonal


@dataclass(frozen=True)
class Gated(Diagonal):
    """B diag(e) A with e drawn."""

    name: ClassVar[str] = "gated"
    gated: ClassVar[bool] = False

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw e from N(0, 1)."""
        A = factors["A"]
        return {"e": torch.randn(rank, generator=generator, dtype=A.dtype).to(A.device)}
