"""EVA: One Initialization to Rule Them All: Fine-tuning via Explained Variance Adaptation, Paischer et al., 2024,
arXiv 2410.07170, section 3.

A = the first principal components of a layer's inputs (rows, orthonormal), B = 0. The ranks of all layers together
keep the budget (layers x rank): every layer offers the shares of variance that its first rho x rank components
explain, and the largest shares of all layers win. A layer that wins none is left alone. s is that of the adapter's
rank on every layer, as in the authors' code, which rescales alpha with the rank.

Deviations: the components come from the exact covariance, which streams in (d_in, d_in) memory, and not from an
incremental SVD that stops when it has converged. ``whiten`` divides by the standard deviations, as an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.calibration import Statistics
from rankwise.adapters.inits.base import DataInit, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class EVA(DataInit):
    """A from the directions in which the data vary most; ``rho`` = 1 keeps the ranks uniform."""

    name: ClassVar[str] = "eva"
    rho: float = 2.0
    whiten: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.rho, bool) or not isinstance(self.rho, (int, float)) or not 1 <= self.rho < float("inf"):
            raise UsageError(f"rho of init 'eva' must be a number of at least 1, found {self.rho!r}.")
        object.__setattr__(self, "rho", float(self.rho))

    def ranks(self, found: Mapping[str, Statistics], rank: int) -> dict[str, int]:
        """Share out ``len(found) * rank`` components by explained variance; of equals, the earlier layer's."""
        offers: list[tuple[float, int, str]] = []
        for path, statistics in found.items():
            variances = _components(statistics)[0]
            shares = variances / variances.sum().clamp_min(torch.finfo(variances.dtype).tiny)
            most = min(round(self.rho * rank), len(shares))
            offers += [(-float(share), len(offers) + i, path) for i, share in enumerate(shares[:most])]
        won = [path for *_, path in sorted(offers)[: len(found) * rank]]
        return {path: won.count(path) for path in found}

    def start_from(self, found: Statistics, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Return the components; nothing is random."""
        variances, directions = _components(found)
        A = directions[:rank].to(W0.dtype)
        if len(A) < rank:
            raise UsageError(f"init 'eva' needs rank <= d_in, but rank is {rank} and a layer has {len(A)} inputs.")
        if self.whiten:
            A = A / variances[:rank, None].to(W0.dtype).sqrt().clamp_min(torch.finfo(W0.dtype).eps)
        return {"A": A.contiguous(), "B": W0.new_zeros(len(W0), rank)}


def _components(found: Statistics) -> tuple[Tensor, Tensor]:
    """Return falling variances (d_in,) and their directions as rows; of a pair of signs, the one PCA code picks."""
    values, vectors = torch.linalg.eigh(found.covariance())
    values, rows = values.flip(0).clamp_min(0), vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return values, rows * largest.sign()
