"""SparseAdapter: He et al., 2022, arXiv 2210.04284: prune once, before training, and train what is left.

A mask over all entries of all factors keeps the ``density`` with the highest score:

    random     drawn
    magnitude  the place of |w| among the entries of its factor
    snip       |w dL/dw|, of the whole batch
    synflow    the share of an entry in 1^T |B| |A| 1: |A_kj| sum over i of |B_ik|, and |B_ik| sum over j of |A_kj|

From then on masked entries are zero, at every step.

Deviations from the paper: with B = 0 every score of A or of B is zero at the start, and a mask from it would remove one
of the two whole. The mask is chosen after the second step, the first in which both have gradients. Magnitudes are
compared within a factor: two steps after B = 0 every |B| is far below every |A|, and |w| over all of them would remove
B nearly whole. GraSP, which needs second derivatives, is left out. ``density`` is the share that stays (the authors'
code calls a kept share sparsity in one place).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share
from rankwise.adapters.events.context import Context
from rankwise.errors import unknown

SCORES = ("snip", "magnitude", "synflow", "random")


def score(
    kind: str, factors: Mapping[str, Tensor], gradients: Mapping[str, Tensor], stream: torch.Generator
) -> dict[str, Tensor]:
    """Return the scores of one layer's entries by factor."""
    if kind == "random":
        return {name: torch.rand(value.shape, generator=stream).to(value.device) for name, value in factors.items()}
    if kind == "magnitude":
        return {name: _places(value.abs()) for name, value in factors.items()}
    if kind == "snip":
        return {name: (value * gradients[name]).abs() for name, value in factors.items()}
    A, B = factors["A"].abs(), factors["B"].abs()
    return {"A": A * B.sum(dim=0)[:, None], "B": B * A.sum(dim=1)}


def _places(values: Tensor) -> Tensor:
    """Return for every entry the share of entries that come before it in ascending order, in [0, 1)."""
    order = values.flatten().argsort(stable=True)
    places = torch.empty(len(order), dtype=torch.float64, device=values.device)
    places[order] = torch.arange(len(order), dtype=torch.float64, device=values.device) / len(order)
    return places.view_as(values)


@dataclass(frozen=True)
class EarlyMask(Event):
    """Keeps ``density`` of all entries of A and B, chosen once."""

    name: ClassVar[str] = "early-mask"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "prunes A and B"
    density: float = 0.5
    by: Literal["snip", "magnitude", "synflow", "random"] = "snip"

    def __post_init__(self) -> None:
        object.__setattr__(self, "density", share(self.name, "density", self.density, ends="()"))
        if self.by not in SCORES:
            raise unknown("score", str(self.by), SCORES)

    def describe(self) -> str:
        """Return for instance ``50% of the entries kept by snip``."""
        return f"{self.density:.0%} of the entries kept by {self.by}"

    def after_step(self, ctx: Context, step: int) -> None:
        """Choose once, then hold."""
        chosen = min(2, ctx.steps)
        if step < chosen:
            return
        factors = {module: ctx.factors(module) for module in ctx.modules}
        if step == chosen:
            scores = {
                (m, name): own
                for m in ctx.modules
                for name, own in score(self.by, factors[m], ctx.gradients(m), ctx.generator).items()
            }
            flat = torch.cat([own.flatten() for own in scores.values()])
            kept = max(1, round(self.density * len(flat)))
            mask = torch.zeros_like(flat, dtype=torch.bool)
            mask[flat.argsort(descending=True, stable=True)[:kept]] = True
            for (m, name), part in zip(scores, mask.split([own.numel() for own in scores.values()]), strict=True):
                ctx.state[f"{m}:{name}"] = part.view_as(scores[m, name]).clone()
        with ctx.firing(measure=step in (chosen, ctx.steps)) as note:
            kept = 0
            for m, own in factors.items():
                ctx.write(m, {name: value * ctx.state[f"{m}:{name}"] for name, value in own.items()})
                kept += sum(int(ctx.state[f"{m}:{name}"].sum()) for name in own)
            note["kept"] = kept
