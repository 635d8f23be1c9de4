"""Strategies without a paper: go on with one adapter, one adapter per task, replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from torch import Tensor

from rankwise.continual.strategies.base import Answers, Strategy
from rankwise.data import Encoded
from rankwise.engine import State
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Sequential(Strategy):
    """One adapter goes on from task to task; only its optimizer starts anew."""

    name: ClassVar[str] = "sequential"
    title: ClassVar[str] = "One adapter, trained on one task after another"
    formula: ClassVar[str] = "W = W0 + s B A, never frozen"

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """Where the task before ended."""
        return None if before is None else State(before.tensors)


@dataclass(frozen=True)
class PerTask(Strategy):
    """An adapter for every task, and the task of an example is known: nothing can be forgotten, nothing is shared."""

    name: ClassVar[str] = "per_task"
    title: ClassVar[str] = "Independent adapters, the task told at inference"
    formula: ClassVar[str] = "W = W0 + s B_t A_t on task t"
    answers: ClassVar[Answers] = "oracle"


@dataclass(frozen=True)
class Replay(Sequential):
    """Sequential, with a share of every earlier task's training examples mixed in; the number of steps stays."""

    name: ClassVar[str] = "replay"
    title: ClassVar[str] = "Sequential with a share of earlier examples mixed in"
    formula: ClassVar[str] = "W = W0 + s B A; train = own + share of each earlier task"
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"replay's share must be above 0 and at most 1, found {self.share!r}.")

    def examples(self, own: Sequence[Encoded], earlier: Sequence[Sequence[Encoded]], seed: int) -> tuple[Encoded, ...]:
        """Own examples, then the same seeded choice of each earlier task's every time."""
        found = list(own)
        for number, task in enumerate(earlier):
            found += Random(f"replay {seed} {number}").sample(list(task), self._count(len(task)))
        return tuple(found)

    def stored(self, sizes: Sequence[int]) -> int:
        """The share of every learned task."""
        return sum(self._count(size) for size in sizes)

    def _count(self, size: int) -> int:
        return max(1, round(self.share * size))
