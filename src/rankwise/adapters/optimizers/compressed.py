"""What optimizers with compressed state share: a projector on the smaller side of a matrix, and where it is kept.

    G: (m, n).  When m <= n, P is (r, m), down(G) = P G and up(R) = P^T R;  else P is (r, n), G P^T and R P.

Vectors, and matrices whose smaller side is not above r, are not compressed: P is then the identity, kept as None.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def down(G: Tensor, P: Tensor | None) -> Tensor:
    """Return the compressed form of ``G``."""
    if P is None:
        return G
    return P @ G if G.shape[0] <= G.shape[1] else G @ P.T


def up(R: Tensor, P: Tensor | None, shape: torch.Size) -> Tensor:
    """Return what ``R`` stands for in a matrix of ``shape``."""
    if P is None:
        return R
    return P.T @ R if shape[0] <= shape[1] else R @ P


class CompressedOptimizer(torch.optim.Optimizer, abc.ABC):
    """A step rule whose state of a matrix lives in a projected space; state tensors are saved in checkpoints."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.mul_(1 - group["lr"] * group["weight_decay"])
                        self.move(p, p.grad, self.state[p], group)
        return loss

    @abc.abstractmethod
    def move(self, p: Tensor, G: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change ``p`` in place by its gradient ``G``."""


def compresses(shape: Sequence[int], rank: int) -> bool:
    """Return whether a projection to ``rank`` makes a tensor of ``shape`` smaller."""
    return len(shape) == 2 and min(shape) > rank
