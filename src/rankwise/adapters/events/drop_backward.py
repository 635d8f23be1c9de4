"""DropBP: Woo et al., 2024, arXiv 2402.17812: whole blocks left out of the backward pass, none of the forward pass.

A block is what adapted layers share a parent in: attention, or the feed-forward part. x <- x + h(x) stays as it is; in
a step in which the block is dropped, no gradient enters h, so nothing inside it is computed backward or moved.

Every step draws the blocks by their rates p_l and adds those with the highest rate until their share of the work is
``rate``; one block always stays. At ``calibrate`` of the run (0: never, all rates stay equal) the sensitivity of every
block is measured on the step's examples,

    sensitivity_l = sum over tensors (|g| - |g with l dropped|)^2,

and rates are shared out anew, from 0 in steps of 0.1 up to 0.9: the block whose cost, sensitivity x rate, grows least
is raised next, until sum (1 - p_l) work_l <= (1 - rate) sum work_l.

Deviations from the paper: the work of a block is the size of its adapted weights, without attention's own products.
Dropped blocks are left out of the optimizer step too (their gradient is none, not zero).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

MOST = 9  # tenths


def blocks_of(modules: tuple[str, ...]) -> list[str]:
    """Return the parents of ``modules`` in their order; modules at the top level have none."""
    return list(dict.fromkeys(parent for module in modules if (parent := module.rpartition(".")[0])))


def draw(rates: Mapping[str, float], work: Mapping[str, int], rate: float, chance: Mapping[str, float]) -> list[str]:
    """Return the blocks to drop: those whose ``chance`` is below their rate, then more until ``rate`` of the work."""
    dropped = {block for block in rates if chance[block] < rates[block]}
    total = sum(work.values())
    for block in sorted(rates, key=lambda block: (-rates[block], chance[block])):
        if sum(work[b] for b in dropped) >= rate * total - 1e-9:
            break
        dropped.add(block)
    if len(dropped) == len(rates):
        dropped.discard(min(rates, key=lambda block: (rates[block], -chance[block])))
    return [block for block in rates if block in dropped]


def share_out(sensitivity: Mapping[str, float], work: Mapping[str, int], rate: float) -> dict[str, float]:
    """Return a rate for every block such that ``rate`` of the work is dropped on average, least sensitive first."""
    tenths = dict.fromkeys(sensitivity, 0)
    target = (1 - rate) * sum(work.values())
    order = sorted(sensitivity, key=lambda block: sensitivity[block])  # a raise costs the same at every rate
    for block in order:
        while tenths[block] < MOST and sum((1 - tenths[b] / 10) * work[b] for b in tenths) > target + 1e-9:
            tenths[block] += 1
    return {block: own / 10 for block, own in tenths.items()}


@dataclass(frozen=True)
class DropBackward(Event):
    """Leaves ``rate`` of the backward pass out, block by block."""

    name: ClassVar[str] = "drop-backward"
    reads_examples: ClassVar[bool] = True
    rate: float = 0.5
    calibrate: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", share(self.name, "rate", self.rate, 0.0, 0.9))
        object.__setattr__(self, "calibrate", share(self.name, "calibrate", self.calibrate, ends="[)"))

    def describe(self) -> str:
        """Return for instance ``50% of the backward pass dropped``."""
        return f"{self.rate:.0%} of the backward pass dropped"

    def check(self, adapter: Composition) -> None:
        """Tensors that all layers share get their gradient from every block."""
        shared = adapter.parametrization.shared_shapes([(8, 8)], adapter.rank)
        if any(map(adapter.parametrization.trains_shared, shared)):
            raise UsageError(
                f"event {self.name!r} leaves whole blocks without gradient, but parametrization "
                f"{adapter.parametrization.name!r} trains tensors that all layers share."
            )

    def before_window(self, ctx: Context) -> None:
        """Draw the blocks of this step."""
        blocks = blocks_of(ctx.modules)
        rates = ctx.state.get("rates") or dict.fromkeys(blocks, self.rate)
        chance = dict(zip(blocks, torch.rand(len(blocks), generator=ctx.generator).tolist(), strict=True))
        dropped = draw(rates, {block: ctx.weights(block) for block in blocks}, self.rate, chance) if self.rate else []
        ctx.state["dropped"] = dropped
        with ctx.firing(measure=False) as note:
            for block in dropped:
                ctx.drop_backward(block)
            note["dropped"] = dropped

    def after_backward(self, ctx: Context) -> None:
        """Leave what was dropped out of the step; beside neighbors its gradient is zero, which is not none."""
        if not (dropped := ctx.state["dropped"]):
            return
        with ctx.firing(measure=False) as note:
            modules = [module for module in ctx.modules if module.rpartition(".")[0] in dropped]
            for module in modules:
                for factor in ctx.factors(module):
                    ctx.drop_gradient(module, factor)
            note["resting"] = len(modules)

    def after_step(self, ctx: Context, step: int) -> None:
        """Calibrate once."""
        if not (self.calibrate and self.rate and step == max(1, steps_of(self.calibrate, ctx.steps))):
            return
        blocks = blocks_of(ctx.modules)
        with ctx.firing(measure=False) as note:
            ctx.undrop()
            whole = ctx.gradient_norms()
            sensitivity = {}
            for block in blocks:
                ctx.drop_backward(block)
                without = ctx.gradient_norms()
                ctx.undrop()
                sensitivity[block] = sum((whole[key] - without[key]) ** 2 for key in whole)
            ctx.state["rates"] = share_out(sensitivity, {block: ctx.weights(block) for block in blocks}, self.rate)
            note["rates"] = ctx.state["rates"]
