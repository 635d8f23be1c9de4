"""A and B as mixtures of random matrices: NOLA, Koohpayegani et al., 2023, arXiv 2310.02556, equation 3.

    W = W0 + s * B @ A
    A = A_0 + sum_i a_i R_i / sqrt(k)     R_i: (rank, d_in),  entries U(-1, 1), a: (k,)
    B = sum_j b_j Q_j / sqrt(l)           Q_j: (d_out, rank), entries U(-1, 1), b: (l,)

Only a and b train. As in the authors' code a and b start at zero and A_0 is a frozen Kaiming-uniform matrix (bound
1 / sqrt(d_in)), without which nothing could move. Nothing random is stored: it comes back from ``seed``.

Deviations: layers of one width mix the same random matrices (the authors draw every layer's own): one bank in memory
for each width, whatever the depth. The banks are kept while training, so memory grows with k: (k + 1) width rank
numbers for each of at most 8 banks (64 matrices of rank 8 at width 1536: 3 MB), where the paper draws them anew.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes, check_whole
from rankwise.adapters.parametrizations.pair import Pair


@functools.lru_cache(maxsize=8)
def bank(seed: int, side: str, count: int, rank: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (count, width, rank) entries U(-1, 1), a pure function of the arguments."""
    stream = torch.Generator().manual_seed(2 * seed + (side == "B"))
    return (2 * torch.rand(count, width, rank, generator=stream, dtype=dtype) - 1).to(device)


@dataclass(frozen=True)
class RandomBasis(Pair):
    """B A, both mixed from random matrices.

    Args:
        bases: k and l, the matrices mixed for A and for B.
        seed: of the matrices.
    """

    name: ClassVar[str] = "random-basis"
    needs: ClassVar[frozenset[str]] = frozenset()
    bases: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, bases=self.bases, **{"seed + 1": self.seed + 1})

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """2 x bases numbers, whatever rank and layer are."""
        return {"a": (self.bases,), "b": (self.bases,)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return empty tensors: the layer's size and rank, which mixtures do not tell."""
        return {"size": (d_out, d_in, rank, 0)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return a = b = 0."""
        d_out, d_in = host.W0.shape
        return {"a": host.zeros(self.bases), "b": host.zeros(self.bases), "size": host.zeros(d_out, d_in, rank, 0)}

    def pair(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return A (rank, d_in) and B (d_out, rank)."""
        d_out, d_in, rank, _ = factors["size"].shape
        a, b = factors["a"], factors["b"]
        R = bank(self.seed, "A", self.bases + 1, rank, d_in, a.dtype, a.device)
        Q = bank(self.seed, "B", self.bases, rank, d_out, b.dtype, b.device)
        A = R[-1] / d_in**0.5 + torch.tensordot(a, R[:-1], 1) / self.bases**0.5
        return A.T, torch.tensordot(b, Q, 1) / self.bases**0.5

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) B A, A and B mixed from 64 random matrices``."""
        return f"{scale} B A, A and B mixed from {self.bases} random matrices each"
