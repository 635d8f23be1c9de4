"""The rank allocator of AdaLoRA, Zhang et al., 2023, arXiv 2303.10512, section 3.2 and equations 8 to 11.

Importance of an entry w after every step (the new w with the gradient it was moved by):

    I = |w dL/dw|,   I_avg <- beta1 I_avg + (1 - beta1) I,   U <- beta2 U + (1 - beta2) |I - I_avg|,   s(w) = I_avg U

of component k of a layer  S_k = s(e_k) + mean over j of s(A_kj) + mean over j of s(B_jk),  and over all layers the
budget

    b(t) = b_T + (b_0 - b_T) (1 - (t - t_i) / (T - t_i - t_f))^3         b_0 = layers x rank, b_T = layers x target

rounded down. Every ``every`` steps between t_i and T - t_f, and at T - t_f itself, e is set to zero in the b_0 - b(t)
components with the lowest S; they may come back until the last choice, which then stays. t_i and t_f are shares of the
run (``warm``, ``final``), so that the allocator acts in a run of any length.

Deviations from the paper: equal scores at the threshold all go, as in the authors' code and PEFT's, against which
this is held to the bit; cutting them in proportion would differ from both. The scale stays alpha / r at
the first rank. A and B of a component that is off keep their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import cubic, share, steps_of, whole
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

Layers = Mapping[str, Mapping[str, Tensor]]


class Importance:
    """I_avg and U of every entry, kept in an event's memory."""

    def __init__(self, memory: dict[str, Any], beta1: float, beta2: float) -> None:
        self.memory, self.beta1, self.beta2 = memory, beta1, beta2

    def update(self, factors: Layers, gradients: Layers) -> None:
        """Take in one step."""
        for module, own in factors.items():
            for name, gradient in gradients[module].items():
                sensitivity = (own[name] * gradient).abs()
                key = f"{module}:{name}"
                zero = torch.zeros_like(sensitivity)
                average = self.beta1 * self.memory.get(f"I/{key}", zero) + (1 - self.beta1) * sensitivity
                spread = (sensitivity - average).abs()
                self.memory[f"I/{key}"] = average
                self.memory[f"U/{key}"] = self.beta2 * self.memory.get(f"U/{key}", zero) + (1 - self.beta2) * spread

    def of(self, module: str, name: str) -> Tensor:
        """Return s(w) of every entry of a factor."""
        return self.memory[f"I/{module}:{name}"] * self.memory[f"U/{module}:{name}"]

    def components(self, module: str) -> Tensor:
        """Return S_k, (rank,)."""
        return self.of(module, "e") + (self.of(module, "A").mean(dim=1) + self.of(module, "B").mean(dim=0))

    def forget(self) -> None:
        """Drop everything."""
        for key in [key for key in self.memory if key.startswith(("I/", "U/"))]:
            del self.memory[key]


def keep_best(scores: Mapping[str, Tensor], budget: int) -> dict[str, Tensor]:
    """Return by layer which components stay (bool) when at most ``budget`` of all may; ties at the threshold go."""
    every = torch.cat(list(scores.values()))
    if (surplus := len(every) - budget) <= 0:
        return {module: torch.ones_like(own, dtype=torch.bool) for module, own in scores.items()}
    threshold = every.kthvalue(surplus).values
    return {module: own > threshold for module, own in scores.items()}


@dataclass(frozen=True)
class RankAllocator(Event):
    """Brings the mean rank down to ``target``, taking from the layers that matter least."""

    name: ClassVar[str] = "rank-allocator"
    needs: ClassVar[str] = "switch"
    target: int = 8
    every: int = 10
    warm: float = 0.1
    final: float = 0.3
    beta1: float = 0.85
    beta2: float = 0.85

    def __post_init__(self) -> None:
        whole(self.name, "target", self.target, what=" (mean rank at the end)")
        whole(self.name, "every", self.every, what=" (steps between two choices)")
        for name, ends in (("warm", "[)"), ("final", "[)"), ("beta1", "()"), ("beta2", "()")):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends=ends))
        if self.warm + self.final >= 1:
            raise UsageError(
                f"warm + final must be below 1, or nothing is left to prune in, found {self.warm:g} and {self.final:g}."
            )

    def describe(self) -> str:
        """Return for instance ``mean rank down to 8``."""
        return f"mean rank down to {self.target}"

    def check(self, adapter: Composition) -> None:
        """Not more components stay than there are."""
        if self.target > adapter.rank:
            raise UsageError(f"target must be at most the rank it starts from, {adapter.rank}, found {self.target}.")

    def ends(self, steps: int) -> tuple[int, int]:
        """Return t_i and T - t_f."""
        return steps_of(self.warm, steps), steps - steps_of(self.final, steps)

    def budget(self, step: int, steps: int, first: int, last: int) -> int:
        """Return b(t) between ``first`` and ``last``, both counted over all layers."""
        begin, end = self.ends(steps)
        return int((first - last) * cubic(step, begin, end) + last)

    def after_step(self, ctx: Context, step: int) -> None:
        """Update the importance and switch components off, or keep those off that lost."""
        begin, end = self.ends(ctx.steps)
        importance = Importance(ctx.state, self.beta1, self.beta2)
        factors = {module: ctx.factors(module) for module in ctx.modules}
        if step > end:
            with ctx.firing(measure=False) as note:
                note["kept"] = sum(int(ctx.state[f"kept/{m}"].sum()) for m in ctx.modules)
                for module in ctx.modules:
                    ctx.write(module, {"e": factors[module]["e"] * ctx.state[f"kept/{module}"]})
            return
        if step < end:
            importance.update(factors, {module: ctx.gradients(module) for module in ctx.modules})
        if step != end and (step <= begin or step % self.every):
            return
        if not any(key.startswith("I/") for key in ctx.state):  # a run of one step
            importance.update(factors, {module: ctx.gradients(module) for module in ctx.modules})
        first, last = sum(map(ctx.rank, ctx.modules)), self.target * len(ctx.modules)
        budget = self.budget(step, ctx.steps, first, last)
        kept = keep_best({module: importance.components(module) for module in ctx.modules}, budget)
        with ctx.firing() as note:
            for module, mask in kept.items():
                ctx.write(module, {"e": factors[module]["e"] * mask})
            note["budget"], note["kept"] = budget, sum(int(mask.sum()) for mask in kept.values())
        if step == end:
            ctx.state.update({f"kept/{module}": mask for module, mask in kept.items()})
            importance.forget()
