"""A small square matrix between two factors.

    W = W0 + s * B @ C @ A          A: (rank, d_in), B: (d_out, rank), C: (rank, rank)

With A and B frozen singular vectors of W0 it is LoRA-XS, Bałazy et al., 2024, arXiv 2405.17604 (C ~ N(0, 1e-10));
with all three trained, FLoRA's core space for matrices, Si et al., 2024, arXiv 2405.14739 (C = 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Core(Delta):
    """B C A, where C starts normal with standard deviation ``std`` (0: at zero)."""

    name: ClassVar[str] = "core"
    gated: ClassVar[bool] = True
    std: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.std, bool) or not isinstance(self.std, (int, float)) or not 0 <= self.std < float("inf"):
            raise UsageError(f"std of 'core' must be a number of at least 0, found {self.std!r}.")
        object.__setattr__(self, "std", float(self.std))

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA, and rank^2 numbers in the middle."""
        return {"A": (rank, d_in), "B": (d_out, rank), "C": (rank, rank)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw C."""
        A = factors["A"]
        C = torch.randn(rank, rank, generator=generator, dtype=A.dtype) * self.std
        return {"C": C.to(A.device)}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Three thin products."""
        h = project(drop(x), factors["A"])
        return linear(linear(h, factors["C"].to(h.dtype)), factors["B"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B C A."""
        return factors["B"] @ factors["C"] @ factors["A"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s B C."""
        return factors["A"], host.scaling * (factors["B"] @ factors["C"])

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) B C A``."""
        return f"{scale} B C A"
