"""The freezing of AFLoRA, Liu et al., 2024, arXiv 2403.13269, section 3: projections stop when they have settled.

For every A and B, after every step that it takes part in:

    I = |dL/dp|,   I_avg <- beta1 I_avg + (1 - beta1) I,   U <- beta2 U + (1 - beta2) |I - I_avg|,   S_p = mean(I_avg U)

    share frozen = 0 up to t_i;  1 - (1 - (t - t_i) / (T - t_i - t_f))^3;  1 from T - t_f on

Of all projections the floor of that share is frozen, lowest S first; what is frozen stays so. Vectors go on training.
t_i and t_f are shares of the run (``begin``, ``rest``). ``scope`` "attention" freezes attention's projections only:
the paper finds that those of the feed-forward blocks gain from training on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import cubic, share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.adapters.placements import Attention
from rankwise.errors import UsageError, unknown

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class ProgressiveFreezing(Event):
    """Freezes A and B one by one, those with the lowest score first."""

    name: ClassVar[str] = "progressive-freezing"
    begin: float = 0.1
    rest: float = 0.3
    beta1: float = 0.85
    beta2: float = 0.85
    scope: Literal["all", "attention"] = "all"

    def __post_init__(self) -> None:
        for name, ends in (("begin", "[)"), ("rest", "[)"), ("beta1", "()"), ("beta2", "()")):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends=ends))
        if self.begin + self.rest >= 1:
            raise UsageError(f"begin + rest must be below 1, found {self.begin:g} and {self.rest:g}.")
        if self.scope not in ("all", "attention"):
            raise unknown("scope", str(self.scope), ("all", "attention"))

    def describe(self) -> str:
        """Return for instance ``A and B frozen one by one (all)``."""
        return f"A and B frozen one by one ({self.scope})"

    def check(self, adapter: Composition) -> None:
        """Something must train on when A and B are frozen."""
        trained = sorted(adapter.trained_shapes("", 8, 8))
        if not {"A", "B"} < set(trained):
            raise UsageError(
                f"event {self.name!r} freezes A and B beside factors that train on, found {', '.join(trained)}; use "
                "parametrization 'feature-scaled' or 'diagonal'."
            )

    def frozen_share(self, step: int, steps: int) -> float:
        """Return the share of projections that are frozen after ``step``."""
        begin, end = steps_of(self.begin, steps), steps - steps_of(self.rest, steps)
        return 1 - cubic(step, begin, end)

    def projections(self, ctx: Context) -> list[str]:
        """Return ``module:factor`` of every projection that may be frozen."""
        modules = list(ctx.modules)
        if self.scope == "attention":
            modules = Attention().matches(modules)
        return [f"{module}:{factor}" for module in modules for factor in ("A", "B")]

    def after_backward(self, ctx: Context) -> None:
        """Take what is frozen out of the step."""
        if frozen := ctx.state.get("frozen", []):
            with ctx.firing(measure=False) as note:
                for key in frozen:
                    ctx.drop_gradient(*key.split(":"))
                note["frozen"] = len(frozen)

    def after_step(self, ctx: Context, step: int) -> None:
        """Update the scores of those that moved, and freeze more when it is time."""
        every, frozen = self.projections(ctx), list(ctx.state.get("frozen", []))
        free = [key for key in every if key not in set(frozen)]
        scores: dict[str, float] = {}
        for key in free:
            module, factor = key.split(":")
            gradient = ctx.gradients(module)[factor].abs()
            zero = torch.zeros_like(gradient)
            average = self.beta1 * ctx.state.get(f"I/{key}", zero) + (1 - self.beta1) * gradient
            spread = self.beta2 * ctx.state.get(f"U/{key}", zero) + (1 - self.beta2) * (gradient - average).abs()
            ctx.state[f"I/{key}"], ctx.state[f"U/{key}"] = average, spread
            scores[key] = float((average * spread).double().mean())
        more = int(self.frozen_share(step, ctx.steps) * len(every) + 1e-9) - len(frozen)
        if more <= 0:
            return
        chosen = sorted(free, key=lambda key: scores[key])[:more]
        with ctx.firing(measure=False) as note:
            for key in chosen:
                ctx.state.pop(f"I/{key}")
                ctx.state.pop(f"U/{key}")
            note["frozen now"], note["of"] = len(frozen) + len(chosen), len(every)
        ctx.state["frozen"] = frozen + chosen
