"""Delta-LoRA: Zi et al., 2023, arXiv 2309.02411, equation 4: W learns from how B A moves.

    W_(t+1) = W_t + weight s (B_(t+1) A_(t+1) - B_t A_t)          after every step from ``begin`` of the run on

W gets no gradient and no optimizer state. The sum telescopes: in all, W + s B A has changed by

    (1 + weight) s B_T A_T - weight s B_K A_K

which has rank at most 2 r (r when it begins at once, as B = 0 then): higher rank than LoRA's, not full rank.

Deviations from the paper: K is a share of the run, not 500 steps. No dropout, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class DeltaUpdate(Event):
    """Adds a multiple of every change of B A to a private copy of W."""

    name: ClassVar[str] = "delta-update"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "moves W by B A"
    owns_base: ClassVar[bool] = True
    weight: float = 2.0
    begin: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", share(self.name, "weight", self.weight, 0.0, 1e30, ends="[)"))
        object.__setattr__(self, "begin", share(self.name, "begin", self.begin, ends="[)"))

    def describe(self) -> str:
        """Return for instance ``W follows B A with weight 2``."""
        return f"W follows B A with weight {self.weight:g}"

    def check(self, adapter: Composition) -> None:
        """Without dropout, or the gradients of W and of B A would differ."""
        if adapter.dropout:
            raise UsageError(
                f"event {self.name!r} needs dropout 0: with it the gradients of W and of B A do not "
                f"agree; found {adapter.dropout:g}."
            )

    def before_step(self, ctx: Context) -> None:
        """Keep B and A of before the step."""
        if ctx.step > steps_of(self.begin, ctx.steps):
            for module in ctx.modules:
                for name, value in ctx.factors(module).items():
                    ctx.state[f"{module}:{name}"] = value

    def after_step(self, ctx: Context, step: int) -> None:
        """Move W; measured ten times in a run."""
        if step <= steps_of(self.begin, ctx.steps):
            return
        with ctx.firing(measure=step == ctx.steps or step % max(1, ctx.steps // 10) == 0) as note:
            total = 0.0
            for module in ctx.modules:
                new = ctx.factors(module)
                A, B = (ctx.state.pop(f"{module}:{name}") for name in "AB")
                # B' A' - B A without subtracting two products of one size
                moved = (new["B"] - B) @ new["A"] + B @ (new["A"] - A)
                W = ctx.W0(module)
                change = self.weight * ctx.scaling(module) * moved
                ctx.write_base(module, W + change.to(W))
                total += float(change.square().sum())
            note["moved"] = total**0.5
