"""A regularizer taken from a training log that prints it as "CLoRA Loss".

    0.01  * mean over modules of  sum over adapters (|A A^T - I|_F^2 + |B^T B - I|_F^2)
  + 0.001 * mean over modules of  sum over pairs i < j of |A_i A_j^T|_F^2

Adapters are the trained pair and the frozen ones of earlier tasks. With orthonormal A's, B = 0, rank 8 and three
adapters it is the constant 0.24 that the log shows: then it carries no information, and its gradient pushes B away from
zero. It is here to be compared with, not to be recommended
(docs/design/streams.md#a-regularizer-taken-from-a-training-log).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.needs import needs_pair
from rankwise.adapters.penalties.stacking import gram_error, stacks

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

OWN, BETWEEN = 0.01, 0.001


@dataclass(frozen=True)
class ColoraNote(Penalty):
    """Both terms above; ``weight`` multiplies them (1: as in the log)."""

    name: ClassVar[str] = "colora-note"
    weight: float = 1.0

    def check(self, adapter: Composition) -> None:
        """A must train."""
        needs_pair(adapter, self.name)

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the sum of both terms, the log's "CLoRA Loss"."""
        with_store = any("merged_A" in own for own in factors.values())
        names = ("A", "B", "merged_A", "merged_B") if with_store else ("A", "B")
        return torch.cat([self._values(*tensors) for tensors in stacks(factors, *names)]).mean()

    def _values(self, A: Tensor, B: Tensor, stored_A: Tensor | None = None, stored_B: Tensor | None = None) -> Tensor:
        As, Bs = [A], [B]
        if stored_A is not None and stored_B is not None:
            As += stored_A.split(A.shape[-2], dim=-2)
            Bs += stored_B.split(B.shape[-1], dim=-1)
        own = sum((gram_error(A) + gram_error(B.mT) for A, B in zip(As, Bs, strict=True)), A.new_zeros(A.shape[0]))
        pairs = [(As[i] @ As[j].mT).square().sum((-2, -1)) for i in range(len(As)) for j in range(i + 1, len(As))]
        return OWN * own + BETWEEN * sum(pairs, A.new_zeros(A.shape[0]))
