"""What optimizers with compressed state share: a projector on the smaller side of a matrix, and where it is kept.

    G: (m, n).  When m <= n, P is (r, m), down(G) = P G and up(R) = P^T R;  else P is (r, n), G P^T and R P.

Vectors, and matrices whose smaller side is not above r, are not compressed: P is then the identity, kept as None.
P is renewed every ``every`` steps; ``renewals`` brings these closer in runs that would not see so many.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.optimizers.base import Optimizer
from rankwise.errors import UsageError


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
    """A step rule whose state of a matrix lives in a projected space; state tensors are saved in checkpoints.

    Args:
        rank, every, most: as of :class:`Compressed`, with ``every`` as it is in this run.

    Attributes:
        shared: of every P that the last step renewed, which share of the old subspace the new one has, from 0 to 1.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        *,
        rank: int,
        every: int,
        most: float = 1.0,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.rank, self.every, self.most = rank, every, most
        self.shared: list[float] = []

    def small(self, shape: Sequence[int]) -> int:
        """Return the rank of the projection of a tensor of ``shape``; 0: it is not compressed."""
        return fitting(shape, self.rank, self.most)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        self.shared = []
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.mul_(1 - group["lr"] * group["weight_decay"])
                        self.move(p, p.grad, self.state[p], group)
        return loss

    def renewed(self, old: Tensor, new: Tensor) -> None:
        """Take note that P (r, side) changed from ``old`` to ``new``."""
        self.shared.append(overlap(old, new))

    @abc.abstractmethod
    def move(self, p: Tensor, G: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change ``p`` in place by its gradient ``G``."""


def overlap(one: Tensor, other: Tensor) -> float:
    """Return the mean squared cosine of the principal angles between the row spaces of (r, n) matrices: 1 if equal."""
    Q, R = (torch.linalg.qr(P.T).Q for P in (one, other))
    return float((Q.T @ R).square().sum()) / len(one)


@dataclass(frozen=True)
class Compressed(Optimizer, abc.ABC):
    """What the choices with such a step share.

    Args:
        rank: of the projection.
        most: largest share of a matrix's smaller side that the rank takes; 1: what is narrower is not compressed.
        every: most steps between two projections.
        renewals: new projections that a run has at least, however short it is; 0: only by ``every``.
    """

    renews: ClassVar[bool] = True
    rank: int = 128
    every: int = 200
    renewals: int = 0
    most: float = 1.0

    def __post_init__(self) -> None:
        self._whole(rank=1, every=1, renewals=0)
        if isinstance(self.most, bool) or not isinstance(self.most, (int, float)) or not 0 < self.most <= 1:
            raise UsageError(f"most of optimizer {self.name!r} must be a number in (0, 1], found {self.most!r}.")
        object.__setattr__(self, "most", float(self.most))

    def _whole(self, **least: int) -> None:
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UsageError(
                    f"{name} of optimizer {self.name!r} must be a whole number of at least {low}, found {value!r}."
                )

    def multiplier(self, factor: str, ndim: int) -> float:
        """Return 1: what the method scales it scales inside the step."""
        return 1.0

    def cadence(self, steps: int | None) -> int:
        """Return the steps between two projections in a run of ``steps``."""
        if not self.renewals or steps is None:
            return self.every
        return min(self.every, max(1, steps // (self.renewals + 1)))

    def small(self, shape: Sequence[int]) -> int:
        """Return the rank of the projection of a tensor of ``shape``; 0: it is not compressed."""
        return fitting(shape, self.rank, self.most)

    def when(self) -> str:
        """Return for instance ``every 200 steps, sooner in runs with fewer than 3 of them``."""
        return f"every {self.every} steps" + (
            f", sooner in runs with fewer than {self.renewals} of them" if self.renewals else ""
        )


def left_open(rank: int | None, every: int | None, usual: int) -> dict[str, Any]:
    """Return the options of a :class:`Compressed` where a caller may leave ``rank`` and ``every`` open (None).

    The rank is then 128, at most a quarter of a matrix's smaller side; ``every`` is ``usual``, or less in a run that is
    too short for three renewals. What is given is taken as it is.
    """
    return {
        "rank": 128 if rank is None else rank,
        "most": 0.25 if rank is None else 1.0,
        "every": usual if every is None else every,
        "renewals": 3 if every is None else 0,
    }


def fitting(shape: Sequence[int], rank: int, most: float = 1.0) -> int:
    """Return the rank of the projection of a tensor of ``shape``, at most ``most`` of its smaller side; 0: none."""
    if len(shape) != 2:
        return 0
    found = min(rank, max(1, int(most * min(shape))))
    return found if found < min(shape) else 0
