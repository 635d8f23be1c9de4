"""Keep A out of the rows that earlier tasks own, exactly: the hard form of penalty ``overlap``.

    A <- A (I - Q_S^T Q_S) after every step          Q_S: an orthonormal basis of the rows of all frozen pairs

So an input inside the span of the earlier A_i gets nothing from the new pair: B A x = 0. Where A starts is decided
where the task begins (strategy ``project``). With no frozen pairs nothing happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.context import Context
from rankwise.adapters.penalties.needs import needs_pair
from rankwise.errors import RunError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class ProjectOut(Event):
    """Project A onto the complement of the frozen rows after every optimizer step."""

    name: ClassVar[str] = "project-out"

    def check(self, adapter: Composition) -> None:
        """A must train."""
        needs_pair(adapter, self.name)

    def after_step(self, ctx: Context, step: int) -> None:
        """Project."""
        stored = {module: ctx.frozen(module) for module in ctx.modules}
        if not any(stored.values()):
            return
        moved = whole = 0.0
        with ctx.firing(measure=False) as note:
            for module, own in stored.items():
                A = ctx.factors(module)["A"]
                new = without(A, own["A"])
                moved += float((new - A).square().sum())
                whole += float(A.square().sum())
                ctx.write(module, {"A": new})
            note |= {"modules": len(stored), "moved": (moved / whole) ** 0.5 if whole else 0.0}


def without(A: Tensor, stored: Tensor) -> Tensor:
    """Return A (R, I) without what lies in the span of ``stored``'s rows (K, I), computed in float64.

    Raises:
        RunError: the stored rows span the whole input, so nothing is left.
    """
    _, S, Vh = torch.linalg.svd(stored.double(), full_matrices=False)
    Q = Vh[1e-9 * S.max() < S] if S.any() else Vh[:0]
    if len(Q) >= A.shape[1]:
        raise RunError(
            f"earlier tasks own all {A.shape[1]} input directions of a layer; nothing is left for a new one. Use a "
            "lower rank, or another strategy."
        )
    wide = A.double()
    return (wide - (wide @ Q.mT) @ Q).to(A)
