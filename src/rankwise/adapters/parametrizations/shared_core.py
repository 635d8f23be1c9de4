"""Factors shared by all layers and a core for each: LoTR, Bershatsky et al., 2024, arXiv 2402.01376, section 3.

    W_l = W0_l + s * B @ C_l @ A          A: (rank, d_in), B: (d_out, rank), C_l: (rank, rank)

A, B ~ N(0, 1) and C = 0, as in the authors' code. Deviation: the paper forms groups of layers of one shape; here layers
of one width share (one A for each d_in, one B for each d_out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Shapes
from rankwise.adapters.parametrizations.core import Core
from rankwise.adapters.parametrizations.tied import by_width


@dataclass(frozen=True)
class SharedCore(Core):
    """B C A with A and B tied across layers."""

    name: ClassVar[str] = "shared-core"
    rate: ClassVar[float] = 0.01
    needs: ClassVar[frozenset[str]] = frozenset()
    gated: ClassVar[bool] = False

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """rank^2 parameters for each layer."""
        return {"C": (rank, rank)}

    def trains_shared(self, name: str) -> bool:
        """All of them."""
        return True

    def shared_shapes(self, layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
        """One A for each d_in, one B for each d_out."""
        return by_width(layers, rank)

    def share(
        self, layers: Sequence[tuple[int, int]], rank: int, dtype: torch.dtype, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw all of them."""
        shapes = self.shared_shapes(layers, rank)
        return {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}

    def local(self, shared: Factors, d_out: int, d_in: int) -> Factors:
        """Return the pair of these widths."""
        return {"A": shared[f"A{d_in}"], "B": shared[f"B{d_out}"]}

    def described_shapes(self) -> dict[str, str]:
        """Return them with the widths by name."""
        shared = {"A": "(r, d_in), shared by layers of one d_in", "B": "(d_out, r), shared by layers of one d_out"}
        return {**shared, "C": "(r, r)"}
