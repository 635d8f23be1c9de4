"""The contract of an optimizer choice: a learning-rate multiplier for every factor."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Optimizer(Choice, abc.ABC):
    """AdamW whose learning rate depends on the factor."""

    @abc.abstractmethod
    def multiplier(self, factor: str, ndim: int) -> float:
        """Return what the run's learning rate is multiplied by for ``factor``, a tensor of ``ndim`` dimensions."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``; empty when every factor has the run's own rate."""

    def groups(
        self, parameters: Mapping[str, nn.Parameter], lr: float, weight_decay: float = 0.0
    ) -> list[dict[str, Any]]:
        """Return the parameter groups of any torch optimizer; weight decay is for matrices only.

        Args:
            parameters: ``handle.trainable()``, names ending in ``.<factor>``.
            lr: the run's learning rate.
        """
        members: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, p in parameters.items():
            rate = lr * self.multiplier(name.rpartition(".")[2], p.ndim)
            members.setdefault((rate, weight_decay if p.ndim > 1 else 0.0), []).append(p)
        return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in members.items()]
