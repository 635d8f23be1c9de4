"""The two levels of BiLoRA, Qiang et al., 2024, arXiv 2403.13037: directions on one part of the data, values on the
other.

    lower:  V* (e) = argmin over A, B of the loss on D1 (+ penalties)        upper:  min over e of the loss on D2 at V*

D1 and D2 are disjoint, ``upper`` being the share of D2, drawn once from the run's seed. Steps alternate:
``lower`` lower steps, which move A and B alone and read D1 alone, then one upper step, which moves e alone and reads D2
alone. The upper gradient is of first order: V* is taken as a constant.

Deviations from the paper: the second-order term is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, whole
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class TwoLevels(Event):
    """Alternates between e on D2 and A, B on D1."""

    name: ClassVar[str] = "two-levels"
    lower: int = 1
    upper: float = 0.2

    def __post_init__(self) -> None:
        whole(self.name, "lower", self.lower, what=" (lower steps after every upper one)")
        object.__setattr__(self, "upper", share(self.name, "upper", self.upper, ends="()"))

    def describe(self) -> str:
        """Return for instance ``e on 20% of the data, A and B on the rest``."""
        return f"e on {self.upper:.0%} of the data, A and B on the rest"

    def check(self, adapter: Composition) -> None:
        """There must be an e to learn on its own."""
        trained = set(adapter.trained_shapes("", 8, 8))
        if not {"A", "B", "e"} <= trained or adapter.init.zero == "":
            raise UsageError(
                f"event {self.name!r} learns e apart from A and B, and A and B must be able to move first; found "
                f"{adapter.parametrization.name!r} with init {adapter.init.name!r}, use 'pseudo-singular'."
            )

    def is_upper(self, step: int) -> bool:
        """Return whether step ``step`` (0-based) is one of the upper level."""
        return step % (self.lower + 1) == self.lower

    def parts(self, n: int, seed: int) -> tuple[list[int], list[int]]:
        """Return (D1, D2): indices, disjoint, together all of ``n``; neither empty when n is at least 2."""
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
        cut = min(max(1, round(self.upper * n)), n - 1)
        return sorted(order[cut:]), sorted(order[:cut])

    def reads(self, step: int, n: int, seed: int) -> tuple[Sequence[int], int] | None:
        """D2 at the upper level, D1 at the lower; each has its own epochs."""
        if n < 2:
            return None
        lower, upper = self.parts(n, seed)
        rounds, place = divmod(step, self.lower + 1)
        return (upper, rounds) if self.is_upper(step) else (lower, rounds * self.lower + place)

    def after_backward(self, ctx: Context) -> None:
        """Take the other level's factors out of the step."""
        upper = self.is_upper(ctx.step - 1)
        with ctx.firing(measure=False) as note:
            for module in ctx.modules:
                for factor in ctx.gradients(module):
                    if (factor == "e") != upper:
                        ctx.drop_gradient(module, factor)
            note["level"] = "upper" if upper else "lower"
