"""The contract of an optimizer choice: a learning rate for every factor, and how a step is made of its gradient.

Most are AdamW at several rates. One that changes the gradients of a layer by its factors sets ``preconditions`` and
gives :meth:`Optimizer.precondition`; one with a rule of its own gives :meth:`Optimizer.make`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Optimizer(Choice, abc.ABC):
    """AdamW whose learning rate depends on the factor."""

    preconditions: ClassVar[bool] = False
    """It changes the gradients of a layer before the step, after clipping."""

    rule: ClassVar[type[torch.optim.Optimizer]] = torch.optim.AdamW
    """The class of the optimizer that :meth:`make` gives."""

    renews: ClassVar[bool] = False
    """Its step has a part that is made anew in the course of a run, which the run records."""

    @abc.abstractmethod
    def multiplier(self, factor: str, ndim: int) -> float:
        """Return what the run's learning rate is multiplied by for ``factor``, a tensor of ``ndim`` dimensions."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``; empty when every factor has the run's own rate."""

    def precondition(
        self, factors: Mapping[str, Tensor], gradients: Mapping[str, Tensor], scaling: float
    ) -> Mapping[str, Tensor]:
        """Return the gradients that the step takes instead of ``gradients`` of one layer, by factor.

        Args:
            factors: all tensors of the layer, detached.
            scaling: s.
        """
        return gradients

    def check(self, shapes: Mapping[str, tuple[int, ...]], trained: Mapping[str, tuple[int, ...]]) -> str:
        """Return why this cannot step an update with these tensors (those that train), or an empty string."""
        return ""

    def state(self, shape: tuple[int, ...]) -> int:
        """Return how many numbers it keeps for a tensor of ``shape``, step counts left out."""
        return 2 * prod(shape)

    def make(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        steps: int | None = None,
    ) -> torch.optim.Optimizer:
        """Return the optimizer of one run over :meth:`groups`; ``steps`` of the whole run, where they are known."""
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)

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
