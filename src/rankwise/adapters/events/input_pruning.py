"""The pruning of PRILoRA, Benedek and Wolf, 2024, arXiv 2401.11316, section 3.2: entries of A by size and input.

Every ``every`` steps, in every row of A, the ``fraction`` with the lowest importance is set to zero:

    importance of A_ij = |A_ij| n_j,     n_j <- beta n_j + (1 - beta) |x_j|_2        x_j: input j over a step's tokens

They may grow back until the next time.

Deviations from the paper: n is updated at the prunings, from the examples of the step just taken, not at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, whole
from rankwise.adapters.events.context import Context


def drop_lowest(importance: Tensor, fraction: float) -> Tensor:
    """Return which entries (bool) stay when the floor of ``fraction`` of every row goes, lowest first."""
    keep = torch.ones_like(importance, dtype=torch.bool)
    gone = int(fraction * importance.shape[1] + 1e-9)
    return keep.scatter(1, importance.argsort(dim=1, stable=True)[:, :gone], False)


@dataclass(frozen=True)
class InputPruning(Event):
    """Zeroes the entries of A that matter least, row by row."""

    name: ClassVar[str] = "input-pruning"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "prunes A"
    reads_examples: ClassVar[bool] = True
    every: int = 10
    fraction: float = 0.5
    beta: float = 0.9

    def __post_init__(self) -> None:
        whole(self.name, "every", self.every, what=" (steps between two prunings)")
        for name, ends in (("fraction", "()"), ("beta", "[)")):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends=ends))

    @property
    def interval(self) -> int:
        """Every ``every`` steps."""
        return self.every

    def describe(self) -> str:
        """Return for instance ``50% of A zeroed every 40 steps``."""
        return f"{self.fraction:.0%} of A zeroed every {self.every} steps"

    def at_interval(self, ctx: Context, step: int) -> None:
        """Look at the inputs, then prune."""
        squares: dict[str, Tensor] = {}

        def see(module: str, x: Tensor) -> None:
            own = x.float().square().sum(dim=0)
            squares[module] = squares[module] + own if module in squares else own

        ctx.watch(see)
        zeros = 0
        with ctx.firing() as note:
            for module in ctx.modules:
                A, norms = ctx.factors(module)["A"], squares[module].sqrt()
                if (before := ctx.state.get(f"n/{module}")) is not None:
                    norms = self.beta * before + (1 - self.beta) * norms
                ctx.state[f"n/{module}"] = norms
                keep = drop_lowest(A.abs() * norms.to(A), self.fraction)
                ctx.write(module, {"A": A * keep})
                zeros += int((~keep).sum())
            note["zeroed"] = zeros
