"""Two factors and a diagonal between them: AdaLoRA, Zhang et al., 2023, arXiv 2303.10512, equation 3.

    W = W0 + s * B @ diag(e) @ A          A: (rank, d_in), B: (d_out, rank), e: (rank,)

The paper writes P diag(Lambda) Q, a singular value decomposition whose P and Q a penalty keeps near orthonormal and
whose Lambda an allocator prunes; both are other axes. e starts at zero and may become negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project


@dataclass(frozen=True)
class Diagonal(Delta):
    """B diag(e) A."""

    name: ClassVar[str] = "diagonal"
    rate: ClassVar[float] = 3.0
    gated: ClassVar[bool] = True
    offers: ClassVar[Literal["", "pair", "switch", "gates"]] = "switch"

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA, and one number per component: rank * (d_in + d_out) + rank parameters."""
        return {"A": (rank, d_in), "B": (d_out, rank), "e": (rank,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return e = 0."""
        return {"e": factors["A"].new_zeros(rank)}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products with a scaling of the components between them."""
        h = project(drop(x), factors["A"])
        return linear(h * factors["e"].to(h.dtype), factors["B"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B diag(e) A."""
        return (factors["B"] * factors["e"]) @ factors["A"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s B diag(e), of the components that are on (one stays where none is)."""
        on = factors["e"] != 0
        on[0] |= not on.any()
        return factors["A"][on], host.scaling * (factors["B"] * factors["e"])[:, on]

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) B diag(e) A``."""
        return f"{scale} B diag(e) A"
