"""LoRA on some slices of a fused layer (query, key and value in one): the authors' MergedLinear, Hu et al., 2021, arXiv
2106.09685, code.

    W = W0 + s * [B_1 A_1; 0; B_3 A_3]          A_i: (rank, d_in), B_i: (slice, rank) for every slice that is on

A: (rank * slices on, d_in) and B: (their rows, rank). Rows of the slices that are off keep the base's values. A starts
Kaiming-uniform, B at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes
from rankwise.adapters.parametrizations.pair import Pair
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Slices(Pair):
    """B_i A_i in the rows of every slice that is on.

    Args:
        enabled: one truth value for each slice, in the order of the rows.
        sizes: rows of each slice; empty: all alike.
    """

    name: ClassVar[str] = "slices"
    needs: ClassVar[frozenset[str]] = frozenset()
    enabled: tuple[bool, ...] = (True, False, True)
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "enabled", tuple(self.enabled))
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if not any(self.enabled) or not all(isinstance(on, bool) for on in self.enabled):
            raise UsageError(f"enabled of 'slices' must be truth values, one true at least, found {self.enabled!r}.")
        if self.sizes and (len(self.sizes) != len(self.enabled) or min(self.sizes) < 1):
            raise UsageError(f"sizes of 'slices' must give the rows of all {len(self.enabled)}, found {self.sizes!r}.")

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer that the slices do not fill."""
        if sum(self.sizes or (d_out,)) != d_out or (not self.sizes and d_out % len(self.enabled)):
            raise UsageError(f"{module} has {d_out} outputs, which the slices of {self!r} do not fill; give sizes.")

    def rows(self, d_out: int) -> tuple[int, ...]:
        """Return the rows of every slice."""
        count = len(self.enabled)
        return self.sizes or (d_out // count,) * count

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """rank * d_in numbers for each slice that is on, and rank for each of its rows."""
        on = sum(n for n, enabled in zip(self.rows(d_out), self.enabled, strict=True) if enabled)
        return {"A": (rank * sum(self.enabled), d_in), "B": (on, rank)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return an empty tensor: the layer's outputs, which B does not tell."""
        return {"size": (d_out, 0)}

    def described_shapes(self) -> dict[str, str]:
        """Return them in words."""
        return {"A": f"(r x {sum(self.enabled)}, d_in)", "B": "(rows of the slices that are on, r)"}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw A."""
        d_out, d_in = host.size
        shapes = self.shapes(d_out, d_in, rank)
        A = host.uniform(generator, d_in**-0.5, *shapes["A"])
        return {"A": A, "B": host.zeros(*shapes["B"]), "size": host.zeros(d_out, 0)}

    def pair(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return A, and B as (d_out, rank * slices on), zero outside the blocks."""
        B, d_out = factors["B"], len(factors["size"])
        rank, rows = B.shape[1], self.rows(d_out)
        found, done, k = [], 0, 0
        for size, on in zip(rows, self.enabled, strict=True):
            block = B.new_zeros(size, rank * sum(self.enabled))
            if on:
                block = torch.cat([block[:, : k * rank], B[done : done + size], block[:, (k + 1) * rank :]], dim=1)
                done, k = done + size, k + 1
            found.append(block)
        return factors["A"], torch.cat(found)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(16/8) [B_i A_i], slices on, off, on``."""
        return f"{scale} [B_i A_i], slices {', '.join('on' if on else 'off' for on in self.enabled)}"
