"""How much of a new task's A lies in the rows of earlier tasks' A.

O-LoRA: Orthogonal Subspace Learning for Language Model Continual Learning, Wang et al., 2023, arXiv 2310.14152:

    l1      sum over modules of  sum |A_i A_t^T|          entrywise, as the authors' code
    l2sq    sum over modules of  |A_i A_t^T|_F^2          as the paper's equation

Our own, the same on every model and at every scale of A (docs/design/streams.md#staying-orthogonal-to-earlier-tasks):

    share   mean over modules of |Q_S Q_t^T|_F^2 / rank   in [0, 1]; Q_S, Q_t orthonormal bases of all earlier rows and
                                                          of A_t: the share of A_t's row space that earlier tasks own

Not copied: in the authors' code the weight grows with gradient accumulation (here a penalty enters once a step), and l1
and l2sq fall when A_t merely shrinks (``share`` does not see the size of A_t at all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.needs import needs_pair
from rankwise.adapters.penalties.stacking import stacks, zero
from rankwise.errors import unknown

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

NORMS = ("l1", "l2sq", "share")
RIDGE = 1e-6  # of the mean squared length of a row: keeps the inverse of a Gram matrix finite


@dataclass(frozen=True)
class Overlap(Penalty):
    """Keeps A out of the rows that earlier updates of this adapter are made of; 0 while there are none."""

    name: ClassVar[str] = "overlap"
    norm: str = "share"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in NORMS:
            raise unknown("norm of the overlap", str(self.norm), NORMS)

    def check(self, adapter: Composition) -> None:
        """A must train."""
        needs_pair(adapter, self.name)

    def describe(self) -> str:
        """Return for instance ``penalty 0.5 overlap (l1)``."""
        return f"{super().describe()} ({self.norm})"

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the penalty."""
        found = [self._values(A, stored) for A, stored in stacks(factors, "A", "merged_A")]
        if not found:
            return zero(factors)
        values = torch.cat(found)
        return values.mean() if self.norm == "share" else values.sum()

    def _values(self, A: Tensor, stored: Tensor) -> Tensor:
        if self.norm == "share":
            return share(A, stored)
        products = stored @ A.mT
        return (products.abs() if self.norm == "l1" else products.square()).sum((-2, -1))


def share(A: Tensor, stored: Tensor) -> Tensor:
    """Return the share (P,) of A's row space (P, R, I) that lies in that of ``stored`` (P, K, I)."""
    inside = A @ stored.mT
    kept = torch.linalg.solve(_gram(stored.detach()), inside.mT)  # (P, K, R)
    return (torch.linalg.solve(_gram(A), inside @ kept)).diagonal(dim1=-2, dim2=-1).sum(-1) / A.shape[-2]


def _gram(A: Tensor) -> Tensor:
    gram = A @ A.mT
    size = gram.diagonal(dim1=-2, dim2=-1).mean(-1).detach()
    return gram + torch.diag_embed(RIDGE * size.clamp_min(1e-30)[..., None].expand(gram.shape[:-1]))
