"""A product, entry by entry, of two low-rank matrices: LoHa, Hyeon-Woo et al. (FedPara), 2021, arXiv 2108.06098,
proposition 1.

    W = W0 + s * (B1 @ A1) * (B2 @ A2)          A1, A2: (rank, d_in), B1, B2: (d_out, rank)

Its rank goes up to rank^2. A1, B1 and B2 start Kaiming-uniform and A2 at zero, as in PEFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Dense, Factors, Host, Shapes


@dataclass(frozen=True)
class Hadamard(Dense):
    """(B1 A1) * (B2 A2)."""

    name: ClassVar[str] = "hadamard"
    rate: ClassVar[float] = 10.0
    needs: ClassVar[frozenset[str]] = frozenset()

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Twice LoRA's parameters."""
        return {"A1": (rank, d_in), "B1": (d_out, rank), "A2": (rank, d_in), "B2": (d_out, rank)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw A1, B1 and B2."""
        shapes = self.shapes(*host.size, rank)
        found = {name: host.uniform(generator, shape[1] ** -0.5, *shape) for name, shape in shapes.items()}
        return {**found, "A2": torch.zeros_like(found["A2"])}

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense product."""
        return (factors["B1"] @ factors["A1"]) * (factors["B2"] @ factors["A2"])

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """Rows A1_i * A2_j and columns B1_i * B2_j for all pairs: rank r^2; None where that is more than min(m, n)."""
        (rank, d_in), d_out = factors["A1"].shape, len(factors["B1"])
        if rank * rank > min(d_out, d_in):
            return None
        A = (factors["A1"][:, None] * factors["A2"][None]).flatten(0, 1)
        B = (factors["B1"][:, :, None] * factors["B2"][:, None, :]).flatten(1)
        return A, host.scaling * B

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) (B1 A1) * (B2 A2)``."""
        return f"{scale} (B1 A1) * (B2 A2)"
