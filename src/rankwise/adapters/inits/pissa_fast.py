"""PiSSA from a randomized factorization: Meng et al., 2024, arXiv 2404.02948, section 3 ("fast SVD"), after Halko et
al., 2011, algorithm 4.4.

A random subspace of ``rank`` + 8 columns is turned towards the top singular vectors by ``iterations`` products with
W0 W0^T, and only the small matrix inside it is factorized. The start is what it found, subtracted exactly, so the model
is unchanged however few iterations there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Start
from rankwise.adapters.inits.pissa import PiSSA
from rankwise.errors import UsageError

_MORE = 8


@dataclass(frozen=True)
class PiSSAFast(PiSSA):
    """A0 and B0 from about the top ``rank`` singular triples of W0."""

    name: ClassVar[str] = "pissa-fast"
    iterations: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int) or self.iterations < 1:
            raise UsageError(
                f"iterations of init 'pissa-fast' must be a whole number of at least 1, found {self.iterations!r}."
            )

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0 inside a random subspace."""
        width = min(rank + _MORE, *W0.shape)
        Q = W0 @ torch.randn(W0.shape[1], width, generator=generator, dtype=W0.dtype)
        for _ in range(self.iterations):
            Q = torch.linalg.qr(W0 @ torch.linalg.qr(W0.T @ torch.linalg.qr(Q).Q).Q).Q
        U, S, Vh = torch.linalg.svd(Q.T @ W0, full_matrices=False)
        root = (S[:rank] / scaling).sqrt()
        return {"A": root[:, None] * Vh[:rank], "B": Q @ U[:, :rank] * root}
