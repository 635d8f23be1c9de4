"""GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection, Zhao et al., 2024, arXiv 2403.03507,
algorithm 2: Adam in the space of the gradient's first singular vectors.

    every ``every`` steps:  P <- first r left singular vectors of G, transposed (right ones when d_in < d_out)
    R = P G,    N = Adam(R),    W <- W - lr scale P^T N

The moments, (r, d_in), are what memory is saved on. As in the authors' code they stay as they are when P changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.optimizers.compressed import Compressed, CompressedOptimizer, down, up
from rankwise.errors import UsageError


def singular_projector(G: Tensor, rank: int) -> Tensor:
    """Return P, orthonormal rows: (rank, the smaller side of G)."""
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    return (U[:, :rank].T if G.shape[0] <= G.shape[1] else Vh[:rank]).contiguous()


class ProjectedAdam(CompressedOptimizer):
    """The step of GaLore."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        *,
        scale: float,
        **projection: Any,
    ) -> None:
        super().__init__(groups, lr, betas, eps, **projection)
        self.scale = scale

    def move(self, p: Tensor, G: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Adam on R; decoupled decay was done."""
        small = self.small(G.shape)
        taken = int(state.get("step", 0))
        if small and taken % self.every == 0:
            new = singular_projector(G, small)
            if "P" in state:
                self.renewed(state["P"], new)
            state["P"] = new
        P = state["P"] if small else None
        R = down(G, P)
        if "exp_avg" not in state:
            state.update(exp_avg=torch.zeros_like(R), exp_avg_sq=torch.zeros_like(R))
        state["step"] = torch.tensor(float(taken + 1))
        beta1, beta2 = group["betas"]
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.mul_(beta1).add_(R, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(R, R, value=1 - beta2)
        root = (second / (1 - beta2 ** (taken + 1))).sqrt().add_(group["eps"])
        N = first / (1 - beta1 ** (taken + 1)) / root
        p.sub_(up(N, P, p.shape), alpha=group["lr"] * (self.scale if small else 1.0))


@dataclass(frozen=True)
class GaLore(Compressed):
    """Adam on projected gradients."""

    name: ClassVar[str] = "galore"
    rule: ClassVar[type[torch.optim.Optimizer]] = ProjectedAdam
    scale: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scale, bool) or not isinstance(self.scale, (int, float)) or not 0 < self.scale < 1e30:
            raise UsageError(f"scale of optimizer 'galore' must be a positive number, found {self.scale!r}.")
        object.__setattr__(self, "scale", float(self.scale))

    def state(self, shape: tuple[int, ...]) -> int:
        """Two compressed moments and the projector."""
        small = self.small(shape)
        return small * (2 * max(shape) + min(shape)) if small else super().state(shape)

    def make(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        steps: int | None = None,
    ) -> torch.optim.Optimizer:
        """Return the step of GaLore."""
        every, scale = self.cadence(steps), self.scale
        return ProjectedAdam(groups, lr, betas, eps, rank=self.rank, every=every, scale=scale, most=self.most)

    def describe(self) -> str:
        """Return for instance ``Adam on gradients projected to rank 128 every 200 steps``."""
        return f"Adam on gradients projected to rank {self.rank} {self.when()}"
