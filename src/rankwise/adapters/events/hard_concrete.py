"""The two stages of Diff Pruning, Guo et al., 2020, arXiv 2012.07463, sections 3.1 and 3.2.

Before every step noise is drawn for every gate, and the passes of the step see the noisy gate:

    v ~ U(1e-4, 1 - 1e-4),  z = clip(sigmoid(log(v / (1 - v)) + a) (high - low) + low, 0, 1)

After ``fixed`` of the run the ``keep`` share of all entries with the largest |z D| (over all layers together, z without
noise) stays: their gates are 1 and all others 0 from then on, and what is left of D trains on.

Deviations from the paper: the second stage is part of the same run, at its learning rate; the passes of an accumulation
window share their noise; a gate is per entry (the paper also has one for groups of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.adapters.parametrizations.masked_difference import gate

if TYPE_CHECKING:
    from rankwise.adapters.parametrizations import Factors
    from rankwise.adapters.slot import Lens

SURE = 10.0  # a gate of this many is exactly 1, of minus this many exactly 0


def noise(shape: torch.Size, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return log(v / (1 - v)), v uniform in (1e-4, 1 - 1e-4)."""
    v = 1e-4 + (1 - 2e-4) * torch.rand(shape, generator=generator, dtype=like.dtype)
    return torch.logit(v).to(like.device)


def noisy(drawn: Tensor) -> Lens:
    """Return what makes a layer's gates noisy."""

    def lens(factors: Factors, scaling: float) -> tuple[Factors, float]:
        return {**factors, "a": factors["a"] + drawn}, scaling

    return lens


@dataclass(frozen=True)
class HardConcrete(Event):
    """Noisy gates, then a fixed mask."""

    name: ClassVar[str] = "hard-concrete"
    needs: ClassVar[str] = "gates"
    doing: ClassVar[str] = "opens and shuts gates"
    keep: float = 0.005
    fixed: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", share(self.name, "keep", self.keep, ends="(]"))
        object.__setattr__(self, "fixed", share(self.name, "fixed", self.fixed, ends="(]"))

    def describe(self) -> str:
        """Return for instance ``0.005 of the entries kept after 50% of the run``."""
        return f"{self.keep:.3g} of the entries kept after {self.fixed:.0%} of the run"

    def before_window(self, ctx: Context) -> None:
        """Draw the noise of this step."""
        if ctx.state.get("fixed"):
            return
        with ctx.firing(measure=False) as note:
            opened = entries = 0
            for module in ctx.modules:
                a = ctx.factors(module)["a"]
                drawn = noise(a.shape, ctx.generator, a)
                ctx.narrow(module, noisy(drawn))
                opened, entries = opened + int(gate(a + drawn).count_nonzero()), entries + a.numel()
            note["open"] = opened / entries

    def before_step(self, ctx: Context) -> None:
        """Fixed gates stay."""
        if ctx.state.get("fixed"):
            with ctx.firing(measure=False) as note:
                for module in ctx.modules:
                    ctx.drop_gradient(module, "a")
                note["kept"] = ctx.state["fixed"]

    def after_step(self, ctx: Context, step: int) -> None:
        """Fix the mask when its time has come."""
        if step != max(1, steps_of(self.fixed, ctx.steps)):
            return
        found = {module: ctx.factors(module) for module in ctx.modules}
        updates = {module: gate(f["a"]) * f["D"] for module, f in found.items()}
        flat = torch.cat([update.abs().flatten() for update in updates.values()])
        kept = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
        kept[flat.topk(max(1, round(self.keep * len(flat)))).indices] = True
        masks = kept.split([update.numel() for update in updates.values()])
        with ctx.firing() as note:
            for (module, update), own in zip(updates.items(), masks, strict=True):
                mask = own.view(update.shape)
                ctx.write(module, {"D": update * mask, "a": torch.where(mask, SURE, -SURE).to(update)})
                ctx.prune_optimizer(module, "D", mask, dim=None)
                ctx.reset_optimizer(module, "a")
            note["kept"] = ctx.state["fixed"] = int(kept.sum())
