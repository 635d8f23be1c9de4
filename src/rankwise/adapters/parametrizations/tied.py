"""One pair for all layers and two vectors for each: Tied-LoRA, Renduchintala et al., 2023, arXiv 2311.09578, section 3.

    W_l = W0_l + s * diag(v_l) @ B @ diag(u_l) @ A          v: (d_out,), u: (rank,)

``trains`` names what moves, in the paper's vBuA notation: "vBuA" is its TL6, "BA" its plain tied LoRA, "vu" is VeRA's
choice. A starts Kaiming-uniform and u at one. Where B trains it starts at zero and v at one; where it is frozen B is
random and v starts at zero: the model is unchanged either way.

Deviation: the paper ties fused query-key-value layers of one shape; here layers of one width share (one A for each
d_in, one B for each d_out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.errors import UsageError


def by_width(layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
    """Return the shapes of one A for each d_in and one B for each d_out, by name and width."""
    A: Shapes = {f"A{d_in}": (rank, d_in) for d_in in sorted({d_in for _, d_in in layers})}
    return A | {f"B{d_out}": (d_out, rank) for d_out in sorted({d_out for d_out, _ in layers})}


def kaiming(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Return U(-1, 1) / sqrt(columns)."""
    return (2 * torch.rand(shape, generator=generator, dtype=dtype) - 1) / shape[1] ** 0.5


@dataclass(frozen=True)
class Tied(Delta):
    """diag(v) B diag(u) A with A and B tied across layers."""

    name: ClassVar[str] = "tied"
    needs: ClassVar[frozenset[str]] = frozenset()
    trains: str = "vBuA"

    def __post_init__(self) -> None:
        known = isinstance(self.trains, str) and set(self.trains) <= set("vBuA")
        if not known or len(set(self.trains)) != len(self.trains) or not set("vB") & set(self.trains):
            raise UsageError(
                f"trains of 'tied' must hold letters of 'vBuA' once each, v or B among them, found {self.trains!r}."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """The vectors that train: rank + d_out parameters for each layer."""
        return {name: shape for name, shape in self._vectors(d_out, rank).items() if name in self.trains}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the vectors that do not."""
        return {name: shape for name, shape in self._vectors(d_out, rank).items() if name not in self.trains}

    def _vectors(self, d_out: int, rank: int) -> Shapes:
        return {"u": (rank,), "v": (d_out,)}

    def trains_shared(self, name: str) -> bool:
        """A and B of every width, where ``trains`` names them."""
        return name[0] in self.trains

    def shared_shapes(self, layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
        """One A for each d_in, one B for each d_out."""
        return by_width(layers, rank)

    def share(
        self, layers: Sequence[tuple[int, int]], rank: int, dtype: torch.dtype, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw A, and B where it is frozen."""
        found = {}
        for name, shape in self.shared_shapes(layers, rank).items():
            drawn = kaiming(shape, dtype, generator)
            found[name] = torch.zeros_like(drawn) if name[0] == "B" and "B" in self.trains else drawn
        return found

    def local(self, shared: Factors, d_out: int, d_in: int) -> Factors:
        """Return the pair of these widths."""
        return {"A": shared[f"A{d_in}"], "B": shared[f"B{d_out}"]}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return u = 1, and v = 1 or 0."""
        v = host.zeros(len(factors["B"]))
        return {"u": host.zeros(rank) + 1, "v": v + 1 if "B" in self.trains else v}

    def described_shapes(self) -> dict[str, str]:
        """Return them with the widths by name."""
        said = {"A": "(r, d_in), shared by layers of one d_in", "B": "(d_out, r), shared by layers of one d_out"}
        said |= {"u": "(r,)", "v": "(d_out,)"}
        return {name: text + ("" if name in self.trains else ", frozen") for name, text in said.items()}

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products, each followed by a scaling."""
        h = project(drop(x), factors["A"])
        return factors["v"].to(h.dtype) * linear(factors["u"].to(h.dtype) * h, factors["B"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense diag(v) B diag(u) A."""
        return factors["v"][:, None] * ((factors["B"] * factors["u"]) @ factors["A"])

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A, and s diag(v) B diag(u)."""
        return factors["A"], host.scaling * (factors["v"][:, None] * factors["B"] * factors["u"])

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) diag(v) B diag(u) A``."""
        return f"{scale} diag(v) B diag(u) A"
