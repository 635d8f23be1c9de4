"""CLoRA: Controlled Low-Rank Adaptation with Subspace Regularization for Continued Training, arXiv 2410.16801.

    R(A, B) = sum over modules of |A P_A|_F^2 + |B^T P_B|_F^2       P_A: (d_in, k), P_B: (d_out, k)

P_A and P_B are random orthonormal columns, fixed, made again from ``seed`` and the module's name and never stored: what
an input has inside span(P_A) passes unchanged, and nothing is written into span(P_B).

Deviations from the paper: none known; it sweeps k from 128 to 2048, here k is cut to half of the smaller side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.needs import needs_pair
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class NullSpace(Penalty):
    """Keeps the update out of a random subspace that was chosen beforehand."""

    name: ClassVar[str] = "null-space"
    k: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise UsageError(f"k must be a whole number of at least 1 (directions kept free), found {self.k!r}.")

    def check(self, adapter: Composition) -> None:
        """A must train."""
        needs_pair(adapter, self.name)

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the sum over modules."""
        terms = []
        for module, own in factors.items():
            A, B = own["A"], own["B"]
            terms.append((A @ self.basis(module, "A", A.shape[1], A)).square().sum())
            terms.append((B.mT @ self.basis(module, "B", B.shape[0], B)).square().sum())
        return torch.stack(terms).sum()

    def basis(self, module: str, side: str, size: int, like: Tensor) -> Tensor:
        """Return P of one side of ``module``: (size, k) orthonormal columns."""
        return _basis(self.seed, module, side, size, min(self.k, size // 2)).to(like)


@lru_cache(maxsize=1024)
def _basis(seed: int, module: str, side: str, size: int, k: int) -> Tensor:
    digest = hashlib.sha256(f"null-space/{seed}/{module}/{side}".encode()).digest()
    stream = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.linalg.qr(torch.randn(size, k, generator=stream))[0].detach()
