"""Strategies whose event remembers across tasks: Online-LoRA (task-free) and EWC.

Online-LoRA, arXiv 2411.05663: see :class:`rankwise.adapters.events.OnlineLoRA`. EWC, arXiv 1612.00796: see
:class:`rankwise.adapters.events.ElasticWeights`. Both go on with one adapter, and with their event's memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.events import ElasticWeights, OnlineLoRA
from rankwise.continual.strategies.base import Strategy
from rankwise.engine import State

PER_TASK = ("buffer", "merges")  # memory that speaks of one data set


def going_on(before: State | None) -> State | None:
    """Return where the task before ended, its events' memory included."""
    if before is None:
        return None
    record = tuple({k: v for k, v in memory.items() if k not in PER_TASK} for memory in before.record)
    return State(before.tensors, before.events, record)


@dataclass(frozen=True)
class OnlineLoRAStrategy(Strategy):
    """Freeze at plateaus of the loss, not at borders of tasks."""

    name: ClassVar[str] = "online_lora"
    title: ClassVar[str] = "Online-LoRA: Task-free Online Continual Learning via Low Rank Adaptation"
    arxiv: ClassVar[str] = "2411.05663"
    formula: ClassVar[str] = "W = W0 + s sum B_i A_i, a new pair at each plateau; loss + weight/2 sum Omega theta^2"
    stores: ClassVar[bool] = True
    weight: float = 2000.0
    window: int = 5
    most: int = 4

    def __post_init__(self) -> None:
        self._event()  # raises for an illegal option

    def _event(self) -> OnlineLoRA:
        return OnlineLoRA(self.weight, self.window, most=self.most)

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """The event acts from the first task on."""
        return replace(plain, events=(*plain.events, self._event()))

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """Where the data so far ended."""
        return going_on(before)


@dataclass(frozen=True)
class EWC(Strategy):
    """One adapter, held where earlier tasks need it."""

    name: ClassVar[str] = "ewc"
    title: ClassVar[str] = "EWC: Overcoming catastrophic forgetting in neural networks"
    arxiv: ClassVar[str] = "1612.00796"
    formula: ClassVar[str] = "W = W0 + s B A; loss + weight/2 sum F (theta - theta*)^2"
    weight: float = 100.0
    sample: int = 32

    def __post_init__(self) -> None:
        ElasticWeights(self.weight, self.sample)

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """The event acts from the first task on, where it only remembers."""
        return replace(plain, events=(*plain.events, ElasticWeights(self.weight, self.sample)))

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """Where the task before ended."""
        return going_on(before)
