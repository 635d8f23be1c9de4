"""Gains of the inputs and outputs of W0: SSL and SSB of Subspace Tuning, Si et al., 2024, arXiv 2407.05417, section 4.

    W = W0 @ diag(a)                  a: (d_in,)               "inputs" (SSL)
    W = diag(b) @ W0 @ diag(a)        b: (d_out,)              "both" (SSB)

a and b start at one. The bias is not scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Gains(Parametrization):
    """Scaled columns, and rows too."""

    name: ClassVar[str] = "gains"
    kind: ClassVar[Literal["delta"]] = "delta"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True
    rate: ClassVar[float] = 3.0
    sides: Literal["inputs", "both"] = "both"

    def __post_init__(self) -> None:
        if self.sides not in ("inputs", "both"):
            raise UsageError(f"sides of 'gains' must be 'inputs' or 'both', found {self.sides!r}.")

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number per input, and one per output."""
        return {"a": (d_in,), "b": (d_out,)} if self.sides == "both" else {"a": (d_in,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return ones."""
        return {name: host.zeros(*shape) + 1 for name, shape in self.shapes(*host.size, rank).items()}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return b W0 (a - 1) x + (b - 1) W0 x: exactly zero at the start."""
        update = host.product((factors["a"] - 1).to(x.dtype) * x)
        if self.sides == "inputs":
            return update
        b = factors["b"]
        return b.to(x.dtype) * update + (b - 1).to(x.dtype) * host.product(x)

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return b W0 (a - 1) + (b - 1) W0."""
        a, W0 = factors["a"], host.W0.to(factors["a"].dtype)
        if self.sides == "inputs":
            return W0 * (a - 1)
        b = factors["b"][:, None]
        return b * W0 * (a - 1) + (b - 1) * W0

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return "W0 + (diag(b) W0 diag(a) - W0)" if self.sides == "both" else "W0 + W0 diag(a - 1)"
