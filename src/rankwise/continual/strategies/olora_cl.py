"""O-LoRA: Orthogonal Subspace Learning for Language Model Continual Learning, Wang et al., 2023, arXiv 2310.14152.

Each task has a LoRA of its own; earlier ones stay added, frozen, and the loss of task t gains

    lambda * sum over modules and i < t of  |A_i A_t^T|_1    (norm l1, the authors' code)  or its squared norm (l2sq)

Not OLoRA (QR start, arXiv 2406.01775), hence the name. Deviations from the paper: lambda_2 = 0, as in its standard
orders; a penalty enters once a step, so accumulation does not change its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.penalties import Overlap
from rankwise.continual.strategies.base import Strategy, beside
from rankwise.engine import State


@dataclass(frozen=True)
class OLoRACL(Strategy):
    """O-LoRA in both norms."""

    name: ClassVar[str] = "olora_cl"
    title: ClassVar[str] = "O-LoRA: Orthogonal Subspace Learning for Language Model Continual Learning"
    arxiv: ClassVar[str] = "2310.14152"
    formula: ClassVar[str] = "W = W0 + s sum B_i A_i; loss + weight sum |A_i A_t^T| (l1) or squared (l2sq)"
    stores: ClassVar[bool] = True
    norm: str = "l1"
    weight: float = 0.5

    def __post_init__(self) -> None:
        Overlap(self.weight, self.norm)  # raises for an illegal one

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """The penalty from the second task on: before, there is nothing to stay away from."""
        return plain if first else replace(plain, penalties=(*plain.penalties, Overlap(self.weight, self.norm)))

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """A new pair beside the frozen ones."""
        return None if before is None else beside(fresh, before)
