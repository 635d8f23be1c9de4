"""Weight-decomposed update: DoRA, Liu et al., 2024, arXiv 2402.09353, equation 5 and section 4.3.

    V = W0 + s * B @ A            direction; A: (rank, d_in), B: (d_out, rank)
    W = m * V / |V|               m: the magnitude, starting at |W0|, so that W = W0 at the start

|V| is a constant to the gradient (section 4.3). The equation takes the norm of every column of a matrix that maps
inputs to outputs; the authors' code and PEFT take it of every row of torch's (d_out, d_in) weight, one magnitude per
output. That is the default here too; ``axis="in"`` has one per input. The bias is not scaled.

With g = m / |V| the update of W0 is (g - 1) W0 + g s B A: zero, not a difference of large numbers, when g is 1. Under
dropout both terms see the dropped input, as in the authors' code, or m would learn from inputs that B A never saw.

Deviations: none. A row of V that is exactly zero has no direction; its g is m, which is zero at the start, not 0/0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host
from rankwise.adapters.parametrizations.low_rank import LowRank
from rankwise.errors import UsageError


@dataclass(frozen=True)
class WeightDecomposed(LowRank):
    """A low-rank direction and a trainable magnitude ``m`` per output (``axis="out"``) or per input (``"in"``)."""

    name: ClassVar[str] = "weight-decomposed"
    offers: ClassVar[Literal["", "pair", "switch", "gates"]] = ""
    reads_base: ClassVar[bool] = True
    lookup: ClassVar[bool] = False
    axis: Literal["out", "in"] = "out"

    def __post_init__(self) -> None:
        if self.axis not in ("out", "in"):
            raise UsageError(
                f"axis of 'weight-decomposed' must be 'out' (one magnitude per output) or 'in', found {self.axis!r}."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> dict[str, tuple[int, ...]]:
        """As LoRA, and one magnitude per output or input."""
        return {**super().shapes(d_out, d_in, rank), "m": (d_out if self.axis == "out" else d_in,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return m = |W0|, computed as every later norm is: m / |V| is 1 to the last bit at the start."""
        return {"m": self._norm(factors, start, host)}

    def update(
        self, x: Tensor, factors: Factors, start: Factors, drop: Callable[[Tensor], Tensor], host: Host
    ) -> Tensor:
        """Return (g - 1) W0 x + g s B A x; with ``axis="in"``, g scales x instead of the output."""
        g = self._gain(factors, start, host)
        more, g = (g - 1).to(x.dtype), g.to(x.dtype)  # 1 is subtracted before any rounding to the compute dtype
        x = drop(x)
        if self.axis == "out":
            return more * host.product(x) + g * super().update(x, factors, start, _keep, host)
        return host.product(more * x) + super().update(g * x, factors, start, _keep, host)

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return (g - 1) W0 + g s B A."""
        g = self._gain(factors, start, host)
        g = g[:, None] if self.axis == "out" else g
        direction = super().dense(factors, start, host)
        return (g - 1) * host.W0.to(direction.dtype) + g * direction

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """None: rescaling W0 has full rank."""
        return None

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``m V / |V|, V = W0 + (32/16) B A``; the side of m tells the axis."""
        ratio = "m V / |V|" if self.axis == "out" else "V m / |V|"
        return f"{ratio}, V = W0 + {self.formula(scale, edits_base)}"

    def _norm(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return |V| along the axis, without a gradient."""
        with torch.no_grad():
            V = super().dense(factors, start, host)
            return torch.linalg.vector_norm(host.W0.to(V.dtype) + V, dim=1 if self.axis == "out" else 0)

    def _gain(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return g = m / |V|."""
        norm = self._norm(factors, start, host)
        return factors["m"] / norm.where(norm != 0, 1.0)


def _keep(x: Tensor) -> Tensor:
    """Drop nothing: the input was dropped already."""
    return x
