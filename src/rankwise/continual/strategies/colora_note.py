"""A regularizer taken from a training log that calls it "CLoRA loss" (it is not CLoRA, arXiv 2410.16801).

Adapters per task stay added, frozen; the loss gains two terms, on orthonormal factors and on pairs of tasks
(docs/design/streams.md#a-regularizer-taken-from-a-training-log). The log also normalizes rows now and then: that is the
stream's ``event`` setting, for instance ``{kind: row_norm, every: 3}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.penalties import ColoraNote as NotePenalty
from rankwise.continual.strategies.base import Strategy, beside
from rankwise.engine import State


@dataclass(frozen=True)
class ColoraNote(Strategy):
    """The regularizer over the adapters of all tasks."""

    name: ClassVar[str] = "colora_note"
    title: ClassVar[str] = "Orthonormal factors and pairwise orthogonal A, as a training log has it"
    formula: ClassVar[str] = "W = W0 + s sum B_i A_i; loss + 0.01 (|A A^T - I|^2 + |B^T B - I|^2) + 0.001 |A_i A_j^T|^2"
    stores: ClassVar[bool] = True
    weight: float = 1.0

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """The penalty acts from the first task on."""
        return replace(plain, penalties=(*plain.penalties, NotePenalty(self.weight)))

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """A new pair beside the frozen ones."""
        return None if before is None else beside(fresh, before)
