"""DyLoRA: Valipour et al., 2022, arXiv 2210.07558, section 3: one training for all ranks.

Before every step b is drawn uniformly from 1 ... r; the step sees the first b components, at the scale of rank b:

    W = W0 + (alpha / b) B[:, :b] A[:b]             A: (r, d_in), B: (d_out, r)

With ``frozen`` only component b learns: those before it act, but get no gradient. At the end the selection split is
scored at every rank. The adapter that is saved is the whole, rank r at alpha / r; its first b components at alpha / b
are what the paper deploys at rank b.

Deviations from the paper: none. As there, AdamW takes the components that a step did not see with gradient zero: their
moments decay and move them on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition
    from rankwise.adapters.parametrizations import Factors
    from rankwise.adapters.slot import Lens


def first_components(b: int, *, frozen: bool = False) -> Lens:
    """Return what makes a layer of rank r one of rank ``b``; with ``frozen`` only the last of these gets gradients."""

    def lens(factors: Factors, scaling: float) -> tuple[Factors, float]:
        A, B = factors["A"], factors["B"]
        seen = {"A": A[:b], "B": B[:, :b]}
        if frozen:
            seen["A"] = torch.cat([A[: b - 1].detach(), A[b - 1 : b]])
            seen["B"] = torch.cat([B[:, : b - 1].detach(), B[:, b - 1 : b]], dim=1)
        return {**factors, **seen}, scaling * A.shape[0] / b

    return lens


@dataclass(frozen=True)
class SampleRank(Event):
    """Trains the first b components, b drawn anew for every step."""

    name: ClassVar[str] = "sample-rank"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "trains the first components of B A"
    frozen: bool = False

    def describe(self) -> str:
        """Return ``rank drawn for every step``."""
        return "rank drawn for every step" + (", the last component learning" if self.frozen else "")

    def check(self, adapter: Composition) -> None:
        """The scale must be inverse to the rank."""
        if not adapter.scaling.inverse:
            raise UsageError(
                f"event {self.name!r} scales rank b by alpha / b and needs scaling 'alpha-over-rank', "
                f"found {adapter.scaling.name!r}."
            )

    def before_window(self, ctx: Context) -> None:
        """Draw b."""
        ranks = {module: ctx.rank(module) for module in ctx.modules}
        b = int(torch.randint(1, max(ranks.values()) + 1, (), generator=ctx.generator))
        with ctx.firing(measure=False) as note:
            for module, rank in ranks.items():
                ctx.narrow(module, first_components(min(b, rank), frozen=self.frozen))
            note["rank"] = b

    def at_end(self, ctx: Context) -> None:
        """Score every rank."""
        ranks = {module: ctx.rank(module) for module in ctx.modules}
        scores: dict[str, float | None] = {}
        with ctx.firing(measure=False) as note:
            for b in range(1, max(ranks.values()) + 1):
                for module, rank in ranks.items():
                    ctx.narrow(module, first_components(min(b, rank)))
                scores[str(b)] = ctx.selection()
            note["selection_by_rank"] = scores
