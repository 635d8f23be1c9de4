"""(IA)3: Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, Liu et al., 2022,
arXiv 2205.05638, section 3.3.

    y = l * (W0 x + bias)        keys, values                              l: (d_out,)
    y = W0 (l * x) + bias        the last projection of a feed-forward block; l: (d_in,)

l starts at one. ``side="auto"`` tells the two apart by the module's name; "out" and "in" decide for all modules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.errors import UsageError
from rankwise.models.structure import LAST_PROJECTION


@dataclass(frozen=True)
class IA3(Parametrization):
    """A learned rescaling of a layer's outputs or inputs."""

    name: ClassVar[str] = "ia3"
    kind: ClassVar[Literal["activation"]] = "activation"
    rate: ClassVar[float] = 3.0
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True
    side: Literal["auto", "out", "in"] = "auto"

    def __post_init__(self) -> None:
        if self.side not in ("auto", "out", "in"):
            raise UsageError(f"side of 'ia3' must be 'auto', 'out' or 'in', found {self.side!r}.")

    def at(self, module: str) -> IA3:
        """Decide the side by the module's name."""
        if self.side != "auto":
            return self
        return replace(self, side="in" if LAST_PROJECTION.search(module) else "out")

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number per output, or per input."""
        return {"l": (d_in if self.side == "in" else d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return l = 1."""
        W0 = host.W0
        wide = torch.promote_types(W0.dtype, torch.float32)
        return {"l": torch.ones(W0.shape[1 if self.side == "in" else 0], dtype=wide, device=W0.device)}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return (l - 1) * (W0 x + bias), or W0 ((l - 1) * x): exactly zero at the start."""
        more = (factors["l"] - 1).to(x.dtype)  # 1 is subtracted before any rounding to the compute dtype
        return host.product(more * x) if self.side == "in" else more * host.output(x)

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return diag(l - 1) W0, or W0 diag(l - 1)."""
        more = factors["l"] - 1
        return host.W0.to(more.dtype) * (more if self.side == "in" else more[:, None])

    def dense_bias(self, factors: Factors, start: Factors, host: Host) -> Tensor | None:
        """Return (l - 1) * bias for outputs."""
        if self.side == "in" or host.bias is None:
            return None
        return (factors["l"] - 1) * host.bias.to(factors["l"].dtype)

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return {"out": "l (W0 x)", "in": "W0 (l x)", "auto": "l (W0 x); W0 (l x) where a feed-forward block ends"}[
            self.side
        ]
