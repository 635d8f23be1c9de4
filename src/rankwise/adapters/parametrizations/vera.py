"""VeRA: Vector-based Random Matrix Adaptation, Kopiczko et al., 2023, arXiv 2310.11454, equation 2.

    W = W0 + s * diag(b) @ B @ diag(d) @ A          b: (d_out,), d: (rank,)

A (rank, largest d_in) and B (largest d_out, rank) are frozen, random and one pair for all layers; each layer takes
the part that fits it. Only b and d train, so s is 1. As in the authors' code, A and B are Kaiming-uniform with gain
sqrt(2) (bound sqrt(6 / columns)), d starts at ``d_init`` and b at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.errors import UsageError


@dataclass(frozen=True)
class VeRA(Delta):
    """diag(b) B diag(d) A with A and B frozen and shared."""

    name: ClassVar[str] = "vera"
    rate: ClassVar[float] = 10.0
    needs: ClassVar[frozenset[str]] = frozenset()
    d_init: float = 0.1

    def __post_init__(self) -> None:
        number = isinstance(self.d_init, (int, float)) and not isinstance(self.d_init, bool)
        if not number or not 0 < abs(self.d_init) < float("inf"):
            raise UsageError(f"d_init of 'vera' must be a number other than 0, found {self.d_init!r}.")
        object.__setattr__(self, "d_init", float(self.d_init))

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Two vectors: rank + d_out parameters."""
        return {"b": (d_out,), "d": (rank,)}

    def shared_shapes(self, layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
        """One pair that is large enough for every layer."""
        return {"A": (rank, max(d_in for _, d_in in layers)), "B": (max(d_out for d_out, _ in layers), rank)}

    def share(
        self, layers: Sequence[tuple[int, int]], rank: int, dtype: torch.dtype, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw A, then B."""

        def uniform(rows: int, columns: int) -> Tensor:
            unit = torch.rand(rows, columns, generator=generator, dtype=dtype)
            return (2 * unit - 1) * (6 / columns) ** 0.5

        return {name: uniform(*shape) for name, shape in self.shared_shapes(layers, rank).items()}

    def local(self, shared: Factors, d_out: int, d_in: int) -> Factors:
        """Return views: slices share their memory with the pair."""
        return {"A": shared["A"][:, :d_in], "B": shared["B"][:d_out]}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return b = 0 and d = d_init."""
        B = factors["B"]
        return {"b": B.new_zeros(len(B)), "d": B.new_full((rank,), self.d_init)}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products, each followed by a scaling."""
        h = project(drop(x), factors["A"])
        return factors["b"].to(h.dtype) * linear(factors["d"].to(h.dtype) * h, factors["B"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense diag(b) B diag(d) A."""
        return factors["b"][:, None] * ((factors["B"] * factors["d"]) @ factors["A"])

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """The layer's part of A, and s diag(b) B diag(d)."""
        return factors["A"], host.scaling * (factors["b"][:, None] * factors["B"] * factors["d"])

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``1 diag(b) B diag(d) A``."""
        return f"{scale} diag(b) B diag(d) A"
