"""A product of more than two factors: Compressible Dynamics in Deep Overparameterized Low-Rank Learning & Adaptation,
Yaras et al., 2024, arXiv 2406.04112, section 4 (Deep LoRA).

    W = W0 + s * B @ C_k @ ... @ C_1 @ A          A: (rank, d_in), B: (d_out, rank), C_i: (rank, rank)

With one C the three layers of the paper's update, of width rank; with three between two frozen frames of the gradient
(init 'gradient-frame') its compressed form. Every C starts as ``scale`` times a random orthogonal matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.orthonormal import orthonormal_columns
from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, check_whole, project
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Deep(Delta):
    """B C_k ... C_1 A.

    Args:
        cores: k.
        scale: of every C at the start.
    """

    name: ClassVar[str] = "deep"
    gated: ClassVar[bool] = True
    cores: int = 1
    scale: float = 1e-3

    def __post_init__(self) -> None:
        check_whole(self, cores=self.cores)
        number = isinstance(self.scale, (int, float)) and not isinstance(self.scale, bool)
        if not number or not 0 < self.scale < float("inf"):
            raise UsageError(f"scale of 'deep' must be a positive number, found {self.scale!r}.")
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def names(self) -> list[str]:
        """Of the cores, from the input's side."""
        return [f"C{i}" for i in range(1, self.cores + 1)]

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA, and rank^2 numbers for every core."""
        return {"A": (rank, d_in), "B": (d_out, rank), **dict.fromkeys(self.names, (rank, rank))}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the cores."""
        A = factors["A"]
        drawn = {name: orthonormal_columns(rank, rank, A.dtype, generator) for name in self.names}
        return {name: self.scale * Q.to(A.device) for name, Q in drawn.items()}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Thin products, one after another."""
        h = project(drop(x), factors["A"])
        return reduce(lambda h, name: linear(h, factors[name].to(h.dtype)), [*self.names, "B"], h)

    def _left(self, factors: Factors) -> Tensor:
        return reduce(torch.matmul, [factors["B"], *(factors[name] for name in reversed(self.names))])

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B C_k ... C_1 A."""
        return self._left(factors) @ factors["A"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s B C_k ... C_1."""
        return factors["A"], host.scaling * self._left(factors)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``1 B C3 C2 C1 A``."""
        return f"{scale} B {' '.join(reversed(self.names))} A"
