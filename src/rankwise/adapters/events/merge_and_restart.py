"""Merge and restart: ReLoRA (Lialin et al., 2023, arXiv 2307.05695, algorithm 1) and Chain of LoRA (Xia et al., 2024,
arXiv 2401.04151, section 3).

At a merge (every ``every`` steps, or ``times`` times, evenly over the run):

    W += s B A,  A <- init, B <- 0,  the optimizer forgets both

After k merges the total update is s (B A + sum of k frozen B_i A_i): rank up to (k + 1) r, saved as plain LoRA of that
rank. The merge changes nothing the model computes; B = 0 afterwards, and A is drawn from the event's stream.

- ``warmup``: ReLoRA's jagged learning rate. After every merge it climbs linearly from near 0 back to the run's own
  schedule, over this share of the steps between two merges.
- ``restart_schedule``: COLA's links. Every link has the run's whole schedule to itself, compressed to its length.
- ``moments``: "reset" (zero, step count too), or as in ReLoRA "magnitude" (both moments stay where
  the first is among its ``keep`` largest entries) or "random" (that share, drawn).

Deviations from the papers: W0 is not edited, the merged factors stay beside it in full precision
(docs/design/methods.md#the-frozen-start).
"reset" is exact where ReLoRA's code zeroes 99.9 % at random. The full-rank start of ReLoRA's pretraining is left out. A
merge that falls on the last step is left out: nothing would train after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from rankwise.adapters.events.base import Event, Rate
from rankwise.adapters.events.checks import share, whole
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError, unknown


@dataclass(frozen=True)
class MergeAndRestart(Event):
    """Freeze the update and start a new one, every ``every`` optimizer steps or ``times`` times."""

    name: ClassVar[str] = "merge-and-restart"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "merges B A and restarts"
    draws_starts: ClassVar[bool] = True
    stores: ClassVar[bool] = True
    spares_last: ClassVar[bool] = True
    every: int = 1000
    times: int = 0
    warmup: float = 0.0
    restart_schedule: bool = False
    moments: Literal["reset", "magnitude", "random"] = "reset"
    keep: float = 0.1

    def __post_init__(self) -> None:
        whole(self.name, "every", self.every, what=" (steps between merges)")
        whole(self.name, "times", self.times, least=0, what=" (merges in a run; 0: by 'every')")
        object.__setattr__(self, "warmup", share(self.name, "warmup", self.warmup, ends="[)"))
        object.__setattr__(self, "keep", share(self.name, "keep", self.keep, ends="()"))
        if self.moments not in ("reset", "magnitude", "random"):
            raise unknown("moments", str(self.moments), ("reset", "magnitude", "random"))
        if self.restart_schedule and self.warmup:
            raise UsageError(f"warmup and restart_schedule both shape the learning rate of {self.name!r}; use one.")

    def merges(self, steps: int) -> list[int]:
        """Return the steps after which a run of ``steps`` merges."""
        if not self.times:
            return list(range(self.every, steps, self.every))
        return sorted({round(k * steps / (self.times + 1)) for k in range(1, self.times + 1)} - {0, steps})

    @property
    def interval(self) -> int | None:
        """Every ``every`` steps, unless ``times`` says when."""
        return None if self.times else self.every

    def describe(self) -> str:
        """Return for instance ``merge and restart every 1000 steps``."""
        when = f"{self.times} times" if self.times else f"every {self.every} steps"
        rate = f", warm-up over {self.warmup:.0%} of a link" if self.warmup else ""
        rate = ", the schedule anew in every link" if self.restart_schedule else rate
        kept = "" if self.moments == "reset" else f", {self.keep:.0%} of the moments kept by {self.moments}"
        return f"merge and restart {when}{rate}{kept}"

    def reshape(self, rate: Rate) -> Rate:
        """Warm up after every merge, or give every link the whole schedule."""
        if not (self.warmup or self.restart_schedule):
            return rate

        def shaped(step: int, steps: int) -> float:
            ends = [0, *self.merges(steps), steps]
            link = max(i for i, end in enumerate(ends[:-1]) if end <= step)
            begin, length = ends[link], ends[link + 1] - ends[link]
            if self.restart_schedule:
                return rate(step - begin, length)
            climb = math.ceil(self.warmup * length)
            return rate(step, steps) * (min(1.0, (step - begin + 1) / (climb + 1)) if link else 1.0)

        return shaped

    def at_interval(self, ctx: Context, step: int) -> None:
        """Merge, when the time is a multiple of ``every``."""
        if step != ctx.steps:
            self._merge(ctx)

    def after_step(self, ctx: Context, step: int) -> None:
        """Merge, when ``times`` says so."""
        if self.times and step in self.merges(ctx.steps):
            self._merge(ctx)

    def _merge(self, ctx: Context) -> None:
        """Merge, draw again, and let the optimizer forget."""
        with ctx.firing() as note:
            for module in ctx.modules:
                ctx.freeze_update(module)
                fresh = ctx.fresh(module)
                ctx.write(module, fresh)
                for factor in fresh:
                    self._forget(ctx, module, factor)
            note["merged"] = len(ctx.modules)
            note["optimizer"] = "reset" if self.moments == "reset" else f"{self.keep:g} kept by {self.moments}"

    def _forget(self, ctx: Context, module: str, factor: str) -> None:
        if self.moments == "reset":
            ctx.reset_optimizer(module, factor)
            return
        first = ctx.moments(module, factor).get("exp_avg")
        if first is None:
            return
        if self.moments == "random":
            keep = torch.rand(first.shape, generator=ctx.generator) < self.keep
        else:
            size = first.abs().flatten()
            keep = first.abs() > size.kthvalue(max(1, math.ceil((1 - self.keep) * len(size)))).values
        ctx.prune_optimizer(module, factor, keep, dim=None)
