"""XGBLoRA: Zhang et al., 2024, arXiv 2410.19694, section 3: many weak adapters, each on a few layers, merged in turn.

A booster lasts ``every`` steps: it adapts a share of the layers of the model, picked uniformly at random; only their
factors move. At its end

    W += s B A  on the picked layers,  A <- init, B <- 0 there,  the optimizer forgets both,  and the next is picked

The rank of a layer's total update is at most (times it was picked) x rank. Layers are told apart by the first number in
a module's name.

Deviations from the paper: the boosting weight is 1. W0 is not edited, merged factors stay beside it in full precision.
The last booster is not merged; it acts all the same, and is saved with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from rankwise.adapters.allocation.base import layer
from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, whole
from rankwise.adapters.events.context import Context


@dataclass(frozen=True)
class Boosting(Event):
    """Trains a few layers at a time and merges them."""

    name: ClassVar[str] = "boosting"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "merges B A and restarts"
    draws_starts: ClassVar[bool] = True
    stores: ClassVar[bool] = True
    spares_last: ClassVar[bool] = True
    every: int = 8
    layers: float = 1 / 3

    def __post_init__(self) -> None:
        whole(self.name, "every", self.every, what=" (steps of a booster)")
        object.__setattr__(self, "layers", share(self.name, "layers", self.layers, ends="(]"))

    @property
    def interval(self) -> int:
        """Every ``every`` steps."""
        return self.every

    def describe(self) -> str:
        """Return for instance ``a booster on 33% of the layers every 8 steps``."""
        return f"a booster on {self.layers:.0%} of the layers every {self.every} steps"

    def pick(self, ctx: Context) -> list[str]:
        """Return the modules of the layers that the next booster adapts; all layers need no draw."""
        names = list(dict.fromkeys(layer(module) for module in ctx.modules))
        count = max(1, round(self.layers * len(names)))
        if count < len(names):
            chosen = torch.randperm(len(names), generator=ctx.generator)[:count].tolist()
            names = [names[i] for i in sorted(chosen)]
        return [module for module in ctx.modules if layer(module) in names]

    def after_backward(self, ctx: Context) -> None:
        """Take the other layers out of the step."""
        if "active" not in ctx.state:
            ctx.state["active"] = self.pick(ctx)
        active = set(ctx.state["active"])
        with ctx.firing(measure=False) as note:
            for module in ctx.modules:
                if module not in active:
                    for factor in ctx.factors(module):
                        ctx.drop_gradient(module, factor)
            note["layers"] = sorted({layer(module) for module in active})

    def at_interval(self, ctx: Context, step: int) -> None:
        """Merge the booster and pick the next; at the last step there is no next."""
        if step == ctx.steps:
            return
        with ctx.firing() as note:
            for module in ctx.state["active"]:
                ctx.freeze_update(module)
                fresh = ctx.fresh(module)
                ctx.write(module, fresh)
                for factor in fresh:
                    ctx.reset_optimizer(module, factor)
            note["merged"] = len(ctx.state["active"])
        ctx.state["active"] = self.pick(ctx)
