"""The pruning of DoRA (dynamic rank distribution), Mao et al., 2024, arXiv 2405.17357, section 3.2.

Component k of a layer is e_k b_k a_k. Its importance, smoothed over steps:

    S_k = |e_k b_k a_k|_F / |delta|_F = |e_k| |b_k| |a_k| / |delta|_F,        S <- beta S + (1 - beta) S_k

The share that is off grows as (rank - target) / rank (p / P)^3, p counting from ``begin`` of the run and P being
``span`` of it; every ``every`` steps, or ``times`` times evenly over P, and always at the end of P, e is set to zero in
the components with the lowest S over all layers. The last choice stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, steps_of, whole
from rankwise.adapters.events.context import Context
from rankwise.adapters.events.rank_allocator import keep_best
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


def component_norms(A: Tensor, B: Tensor, e: Tensor) -> Tensor:
    """Return |e_k b_k a_k|_F of every component, (rank,), without forming any."""
    return e.abs() * B.norm(dim=0) * A.norm(dim=1)


@dataclass(frozen=True)
class ComponentPruning(Event):
    """Brings the mean rank down to ``target``, by the size of the components."""

    name: ClassVar[str] = "component-pruning"
    needs: ClassVar[str] = "switch"
    target: int = 8
    every: int = 10
    begin: float = 0.15
    span: float = 0.35
    beta: float = 0.9
    times: int = 0

    def __post_init__(self) -> None:
        whole(self.name, "target", self.target, what=" (mean rank at the end)")
        whole(self.name, "every", self.every, what=" (steps between two choices)")
        whole(self.name, "times", self.times, least=0, what=" (choices in a run; 0: by 'every')")
        for name, ends in (("begin", "[)"), ("span", "()"), ("beta", "[)")):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends=ends))
        if self.begin + self.span > 1:
            raise UsageError(f"begin + span must be at most 1, found {self.begin:g} and {self.span:g}.")

    def describe(self) -> str:
        """Return for instance ``mean rank down to 8 by size``."""
        return f"mean rank down to {self.target} by size"

    def check(self, adapter: Composition) -> None:
        """Not more components stay than there are."""
        if self.target > adapter.rank:
            raise UsageError(f"target must be at most the rank it starts from, {adapter.rank}, found {self.target}.")

    def ends(self, steps: int) -> tuple[int, int]:
        """Return the first and the last step of pruning."""
        begin = steps_of(self.begin, steps)
        return begin, max(begin + 1, steps_of(self.begin + self.span, steps))

    def kept(self, step: int, steps: int, first: int, last: int) -> int:
        """Return how many components stay, of ``first`` over all layers, ``last`` at the end."""
        begin, end = self.ends(steps)
        done = min(max((step - begin) / (end - begin), 0.0), 1.0)
        return first - int((first - last) * done**3 + 1e-9)

    def choices(self, steps: int) -> list[int]:
        """Return the steps after which a run of ``steps`` prunes."""
        begin, end = self.ends(steps)
        if not self.times:
            return sorted({*range(begin + self.every, end, self.every), end})
        return sorted({begin + -(-k * (end - begin) // self.times) for k in range(1, self.times + 1)})

    def after_step(self, ctx: Context, step: int) -> None:
        """Smooth the importance and prune when it is time; afterwards keep the choice."""
        end = self.ends(ctx.steps)[1]
        factors = {module: ctx.factors(module) for module in ctx.modules}
        if step > end:
            with ctx.firing(measure=False) as note:
                note["held"] = sum(int(ctx.state[f"kept/{m}"].sum()) for m in ctx.modules)
                for module, own in factors.items():
                    ctx.write(module, {"e": own["e"] * ctx.state[f"kept/{module}"]})
            return
        for module, own in factors.items():
            norm = torch.linalg.matrix_norm((own["B"] * own["e"]) @ own["A"])
            found = component_norms(own["A"], own["B"], own["e"]) / (norm + 1e-8)
            before = ctx.state.get(f"S/{module}")
            ctx.state[f"S/{module}"] = found if before is None else self.beta * before + (1 - self.beta) * found
        if step not in self.choices(ctx.steps):
            return
        first, last = sum(map(ctx.rank, ctx.modules)), self.target * len(ctx.modules)
        kept = keep_best({m: ctx.state[f"S/{m}"] for m in ctx.modules}, self.kept(step, ctx.steps, first, last))
        with ctx.firing() as note:
            for module, mask in kept.items():
                ctx.write(module, {"e": factors[module]["e"] * mask})
            note["kept"] = sum(int(mask.sum()) for mask in kept.values())
        if step == end:
            for module, mask in kept.items():
                ctx.state[f"kept/{module}"] = mask
                del ctx.state[f"S/{module}"]
