"""A small network after a layer: Parameter-Efficient Transfer Learning for NLP, Houlsby et al., 2019, arXiv 1902.00751,
figure 2.

    y = z + s * (U act(D z + c) + u),  z = W0 x + bias     D: (rank, d_out), c: (rank,), U: (d_out, rank), u: (d_out,)

On the last projection of attention and of the feed-forward block this is the paper's place, before the residual. D
starts normal with standard deviation 0.01, the rest at zero: no change to the model (the paper starts near it). It is
not linear, so nothing can be merged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear, relu

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.errors import UsageError

STD = 0.01


@dataclass(frozen=True)
class Bottleneck(Parametrization):
    """Down, a nonlinearity, up, added to the layer's output."""

    name: ClassVar[str] = "bottleneck"
    kind: ClassVar[Literal["activation"]] = "activation"
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True
    not_merged: ClassVar[str] = "it is a small network after the layer, which is no matrix"
    nonlinearity: Literal["gelu", "relu"] = "gelu"

    def __post_init__(self) -> None:
        if self.nonlinearity not in ("gelu", "relu"):
            raise UsageError(f"nonlinearity of {self.name!r} must be 'gelu' or 'relu', found {self.nonlinearity!r}.")

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """2 rank d_out + rank + d_out parameters."""
        return {"D": (rank, d_out), "c": (rank,), "U": (d_out, rank), "u": (d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw D."""
        shapes = self.shapes(*host.size, rank)
        zeros = {name: host.zeros(*shape) for name, shape in shapes.items()}
        return {**zeros, "D": host.normal(generator, STD, *shapes["D"])}

    def matrices(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return D (rank, d_out) and U (d_out, rank)."""
        return factors["D"], factors["U"]

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return s (U act(D z + c) + u)."""
        z = host.output(x)
        D, U = (M.to(z.dtype) for M in self.matrices(factors))
        act: Callable[[Tensor], Tensor] = gelu if self.nonlinearity == "gelu" else relu
        update = linear(act(linear(z, D, factors["c"].to(z.dtype))), U, factors["u"].to(z.dtype))
        return update if host.scaling == 1 else host.scaling * update

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``z + 1 (U gelu(D z + c) + u), z = W0 x``."""
        return f"z + {scale} (U {self.nonlinearity}(D z + c) + u), z = W0 x"
