"""Orthogonal to earlier tasks by a penalty that has no scale, or exactly.

overlap   loss + weight * mean over modules of |Q_S Q_t^T|_F^2 / rank     in [0, 1] on every model
project   A_t starts in, and after every step returns to, the complement of all earlier rows: B_t A_t x = 0 for x
          in their span

Both are forms of our own: docs/design/streams.md#staying-orthogonal-to-earlier-tasks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.events import ProjectOut
from rankwise.adapters.events.project_out import without
from rankwise.continual.strategies.base import MERGED, Strategy, beside
from rankwise.continual.strategies.olora_cl import OLoRACL
from rankwise.engine import State


@dataclass(frozen=True)
class OverlapStrategy(OLoRACL):
    """O-LoRA with a penalty that is a share of A's row space: its weight carries over between models and ranks."""

    name: ClassVar[str] = "overlap"
    title: ClassVar[str] = "A share of A's row space instead of O-LoRA's norm"
    arxiv: ClassVar[str] = "-"
    formula: ClassVar[str] = "W = W0 + s sum B_i A_i; loss + weight mean |Q_S Q_t^T|^2 / r"
    norm: str = "share"
    weight: float = 1.0


@dataclass(frozen=True)
class Project(Strategy):
    """Exactly orthogonal, without a weight to choose."""

    name: ClassVar[str] = "project"
    title: ClassVar[str] = "A projected to the complement of earlier tasks' rows after every step"
    formula: ClassVar[str] = "W = W0 + s sum B_i A_i; A_t <- A_t (I - Q_S^T Q_S)"
    stores: ClassVar[bool] = True

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """Project from the second task on."""
        return plain if first else replace(plain, events=(*plain.events, ProjectOut()))

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """A new pair in the complement of the frozen ones."""
        if before is None:
            return None
        tensors = dict(beside(fresh, before).tensors)
        for name in [name for name in tensors if name.startswith(MERGED) and name.endswith(".A")]:
            own = name.removeprefix(MERGED)
            tensors[own] = without(tensors[own], tensors[name])
        return State(tensors)
