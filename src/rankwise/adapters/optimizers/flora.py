"""Flora: Low-Rank Adapters Are Secretly Gradient Compressors, Hao et al., 2024, arXiv 2402.03293, algorithm 2.

    m <- beta1 m + (1 - beta1) P U,     W <- W - lr P^T m         P: (r, d_out), entries N(0, 1 / r)

where U is the gradient as Adafactor normalizes it, from factored second moments. Every ``every`` steps a new P is drawn
from a chain of seeds and the momentum is carried over:  m <- P_new P_old^T m.  A fixed P would keep all updates in
one subspace of rank r (that is LoRA with a frozen A); new ones add up to higher rank.

Deviations from the paper: momentum is compressed, gradient accumulation is not (our windows add into one gradient). The
clipping of Adafactor's update at a root mean square of 1 is kept, its relative step size is not: lr is the run's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.optimizers.compressed import Compressed, CompressedOptimizer, down, up


def random_projector(rank: int, side: int, seed: int, like: Tensor) -> Tensor:
    """Return P (rank, side) of one link of the chain: E[P^T P] = I."""
    stream = torch.Generator().manual_seed(seed)
    return (torch.randn(rank, side, generator=stream, dtype=like.dtype) / rank**0.5).to(like.device)


def normalized(G: Tensor, state: dict[str, Any], beta2: float, eps: float) -> Tensor:
    """Return ``G`` over the root of its factored second moment, at most 1 in root mean square (Adafactor)."""
    square = G.square().add_(eps)
    taken = state["step"].item()
    decay = min(beta2, 1 - taken**-0.8)
    if G.ndim == 2:
        for key, dim in (("rows", 1), ("columns", 0)):
            mean = square.mean(dim=dim)
            state[key] = mean if key not in state else state[key] * decay + mean * (1 - decay)
        rows, columns = state["rows"], state["columns"]
        update = G * (rows.mean() / rows).sqrt()[:, None] * columns.rsqrt()
    else:
        state["rows"] = square if "rows" not in state else state["rows"] * decay + square * (1 - decay)
        update = G * state["rows"].rsqrt()
    return update / max(1.0, float(update.square().mean().sqrt()))


class ProjectedMomentum(CompressedOptimizer):
    """The step of Flora."""

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float], *, seed: int, **projection: Any
    ) -> None:
        super().__init__(groups, lr, betas, 1e-30, **projection)
        self.seed = seed
        self.place = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def projector(self, p: Tensor, link: int) -> Tensor:
        """Return the P of ``p`` in link ``link`` of the chain."""
        digest = hashlib.sha256(f"{self.seed}/{self.place[id(p)]}/{link}".encode()).digest()
        return random_projector(self.small(p.shape), min(p.shape), int.from_bytes(digest[:7], "big"), p)

    def move(self, p: Tensor, G: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Compress, average, expand."""
        taken = int(state.get("step", 0))
        state["step"] = torch.tensor(float(taken + 1))
        U = normalized(G, state, group["betas"][1], group["eps"])
        P = None
        if self.small(G.shape):
            link, place = divmod(taken, self.every)
            P = self.projector(p, link)
            if place == 0 and link:
                old = self.projector(p, link - 1)
                state["exp_avg"] = down(up(state["exp_avg"], old, p.shape), P)
                self.renewed(old, P)
        R = down(U, P)
        beta1 = group["betas"][0]
        first = state.setdefault("exp_avg", torch.zeros_like(R))
        first.mul_(beta1).add_(R, alpha=1 - beta1)
        p.sub_(up(first, P, p.shape), alpha=group["lr"])


@dataclass(frozen=True)
class Flora(Compressed):
    """Adafactor whose momentum is kept in a random subspace that changes."""

    name: ClassVar[str] = "flora"
    rule: ClassVar[type[torch.optim.Optimizer]] = ProjectedMomentum
    every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole(seed=0)

    def state(self, shape: tuple[int, ...]) -> int:
        """Compressed momentum, and a second moment by rows and columns."""
        small = self.small(shape)
        momentum = small * max(shape) if small else prod(shape)
        return momentum + (sum(shape) if len(shape) == 2 else prod(shape))

    def make(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        steps: int | None = None,
    ) -> torch.optim.Optimizer:
        """Return the step of Flora."""
        every = self.cadence(steps)
        return ProjectedMomentum(groups, lr, betas, rank=self.rank, every=every, seed=self.seed, most=self.most)

    def describe(self) -> str:
        """Return for instance ``momentum in a random subspace of rank 128, new every 1000 steps``."""
        return f"momentum in a random subspace of rank {self.rank}, new {self.when()}"
