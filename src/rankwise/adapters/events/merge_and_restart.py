"""The core of ReLoRA: High-Rank Training Through Low-Rank Updates, Lialin et al., 2023, arXiv 2307.05695, section 3.

Every ``every`` steps (algorithm 1):  W += s B A,  A <- init, B <- 0,  the optimizer forgets both.

After k merges the total update is s (B A + sum of k frozen B_i A_i): rank up to (k + 1) r, saved as plain LoRA of that
rank. The merge changes nothing the model computes; B = 0 afterwards, and A is drawn from the event's stream.

Deviations from the paper: W0 is not edited, the merged factors stay beside it in full precision (DESIGN 3, rule 1).
The optimizer is reset whole, step count included, where the paper prunes moments (its code zeroes 99.9 % at random).
The jagged learning rate, with a warm-up after every merge, and the full-rank start are the recipe's business. A merge
that falls on the last step is left out: nothing would train after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rankwise.adapters.events.base import Context, Event
from rankwise.adapters.parametrizations import LowRank
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.adapter import Adapter


@dataclass(frozen=True)
class MergeAndRestart(Event):
    """Freeze the update and start a new one, every ``every`` optimizer steps."""

    name: ClassVar[str] = "merge-and-restart"
    every: int = 1000

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise UsageError(
                f"every must be a whole number of at least 1 (steps between merges), found {self.every!r}."
            )

    @property
    def interval(self) -> int:
        """Every ``every`` steps."""
        return self.every

    def describe(self) -> str:
        """Return for instance ``merge and restart every 1000 steps``."""
        return f"merge and restart every {self.every} steps"

    def check(self, adapter: Adapter) -> None:
        """The merged part must be low-rank, and a new start must not take another edit of the base with it."""
        if type(adapter.parametrization) is not LowRank:
            raise UsageError(
                f"event {self.name!r} merges B A and needs parametrization 'low-rank', found "
                f"{adapter.parametrization.name!r}."
            )
        if adapter.init.edits_base or adapter.init.quantized:
            raise UsageError(
                f"event {self.name!r} restarts beside the base as it is and needs an init that does not edit it, such "
                f"as 'kaiming', found {adapter.init.name!r}."
            )
        if adapter.init.needs_data:
            raise UsageError(
                f"event {self.name!r} draws new starts while training and needs an init that does not look at data, "
                f"such as 'kaiming', found {adapter.init.name!r}."
            )
        if frozen := adapter.freezing.describe():
            raise UsageError(f"event {self.name!r} restarts A and B, so both must train; found {frozen}.")

    def at_interval(self, ctx: Context, step: int) -> None:
        """Merge, draw again, reset the optimizer."""
        if step == ctx.steps:
            return
        with ctx.firing() as note:
            for module in ctx.modules:
                ctx.freeze_update(module)
                fresh = ctx.fresh(module)
                ctx.write(module, fresh)
                for factor in fresh:
                    ctx.reset_optimizer(module, factor)
            note["merged"] = len(ctx.modules)
