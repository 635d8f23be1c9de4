"""CLoRA: Controlled Low-Rank Adaptation with Subspace Regularization for Continued Training, arXiv 2410.16801.

One adapter goes on from task to task, kept out of a fixed random subspace (see :class:`NullSpace`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from rankwise.adapters import Adapter
from rankwise.adapters.penalties import NullSpace
from rankwise.continual.strategies.simple import Sequential


@dataclass(frozen=True)
class CLoRA(Sequential):
    """Sequential with a controlled null space."""

    name: ClassVar[str] = "clora"
    title: ClassVar[str] = "CLoRA: Controlled Low-Rank Adaptation with Subspace Regularization for Continued Training"
    arxiv: ClassVar[str] = "2410.16801"
    formula: ClassVar[str] = "W = W0 + s B A; loss + weight (|A P_A|^2 + |B^T P_B|^2)"
    weight: float = 0.01
    k: int = 128

    def __post_init__(self) -> None:
        NullSpace(self.weight, self.k)

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """The penalty acts from the first task on."""
        return replace(plain, penalties=(*plain.penalties, NullSpace(self.weight, self.k)))
