"""RoseLoRA: Wang et al., 2024, arXiv 2406.10777, section 3.2: A sparse in every row, B sparse in every column.

    I <- beta I + (1 - beta) |w dL/dw|                                       importance of every entry, after every step
    keep(t) = 1 up to t_0;  keep + (1 - keep) (1 - (t - t_0) / (t_1 - t_0))^3;  keep from t_1 on

After every step the entries below the (1 - keep(t)) quantile of their row of A, or their column of B, are set to zero,
so that the update has at most r (keep d_out) (keep d_in) entries that are not. t_0 and t_1 are shares of the run
(``begin``, ``end``; the authors' code: 3 and 20 of 25 steps).

Deviations from the paper: none known; the clamp of its knowledge-editing code is left out. ``keep`` there is 0.05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import cubic, share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError


def keep_highest(importance: Tensor, keep: float) -> Tensor:
    """Return which entries (bool) of every row stay: the ceiling of ``keep`` of them, highest first."""
    stay = math.ceil(keep * importance.shape[1] - 1e-9)
    mask = torch.zeros_like(importance, dtype=torch.bool)
    return mask.scatter(1, importance.argsort(dim=1, descending=True, stable=True)[:, :stay], True)


@dataclass(frozen=True)
class RowSparsity(Event):
    """Keeps a share of every row of A and of every column of B."""

    name: ClassVar[str] = "row-sparsity"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "prunes A and B"
    keep: float = 0.2
    begin: float = 0.12
    end: float = 0.8
    beta: float = 0.8

    def __post_init__(self) -> None:
        for name, ends in (("keep", "()"), ("begin", "[)"), ("end", "(]"), ("beta", "[)")):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends=ends))
        if self.begin >= self.end:
            raise UsageError(f"begin must be before end, found {self.begin:g} and {self.end:g}.")

    def describe(self) -> str:
        """Return for instance ``20% of every row of A and column of B kept``."""
        return f"{self.keep:.0%} of every row of A and column of B kept"

    def kept(self, step: int, steps: int) -> float:
        """Return keep(t)."""
        begin, end = steps_of(self.begin, steps), steps_of(self.end, steps)
        return self.keep + (1 - self.keep) * cubic(step, begin, max(end, begin + 1))

    def after_step(self, ctx: Context, step: int) -> None:
        """Smooth the importance and prune; measured ten times in a run."""
        share = self.kept(step, ctx.steps)
        for module in ctx.modules:
            factors = ctx.factors(module)
            for name, gradient in ctx.gradients(module).items():
                key, own = f"{module}:{name}", (factors[name] * gradient).abs()
                before = ctx.state.get(key, torch.zeros_like(own))
                ctx.state[key] = self.beta * before + (1 - self.beta) * own
        if share == 1:
            return
        with ctx.firing(measure=step == ctx.steps or step % max(1, ctx.steps // 10) == 0) as note:
            nonzero = total = 0
            for module in ctx.modules:
                factors = ctx.factors(module)
                masks = {
                    "A": keep_highest(ctx.state[f"{module}:A"], share),
                    "B": keep_highest(ctx.state[f"{module}:B"].T, share).T,
                }
                ctx.write(module, {name: factors[name] * mask for name, mask in masks.items()})
                nonzero += sum(int(mask.sum()) for mask in masks.values())
                total += sum(mask.numel() for mask in masks.values())
            note["keep"], note["density"] = share, nonzero / total
