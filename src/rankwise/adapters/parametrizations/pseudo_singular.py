"""Pseudo singular values and vectors: BiLoRA, Qiang et al., 2024, arXiv 2403.13037, section 3.1.

    W = W0 + s * B @ diag(g(e)) @ A          A: (rank, d_in), B: (d_out, rank), e: (rank,)

``values="real"``: g(e) = e, starting at one; "softmax": shares that sum to one, starting at 1/rank; "sigmoid": numbers
between 0 and 1, starting at a half, which penalty ``gate-entropy`` pushes to either end. B starts at zero. That the
paper trains A and B on one part of the data and e on another is an event, not a part of the form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.errors import UsageError


@dataclass(frozen=True)
class PseudoSingular(Delta):
    """B diag(g(e)) A."""

    name: ClassVar[str] = "pseudo-singular"
    values: Literal["real", "softmax", "sigmoid"] = "softmax"

    def __post_init__(self) -> None:
        if self.values not in ("real", "softmax", "sigmoid"):
            raise UsageError(
                f"values of 'pseudo-singular' must be 'real', 'softmax' or 'sigmoid', found {self.values!r}."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA, and one number per component."""
        return {"A": (rank, d_in), "B": (d_out, rank), "e": (rank,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return e = 1 for real values, else 0."""
        return {"e": factors["A"].new_full((rank,), float(self.values == "real"))}

    @property
    def soft_gates(self) -> bool:
        """As ``values`` says."""
        return self.values == "sigmoid"

    def gates(self, e: Tensor) -> Tensor:
        """Return g(e)."""
        return {"real": e, "softmax": e.softmax(0), "sigmoid": e.sigmoid()}[self.values]

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products with a scaling of the components between them."""
        h = project(drop(x), factors["A"])
        return linear(h * self.gates(factors["e"]).to(h.dtype), factors["B"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B diag(g(e)) A."""
        return (factors["B"] * self.gates(factors["e"])) @ factors["A"]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s B diag(g(e))."""
        return factors["A"], host.scaling * (factors["B"] * self.gates(factors["e"]))

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) B diag(softmax(e)) A``."""
        gate = "e" if self.values == "real" else f"{self.values}(e)"
        return f"{scale} B diag({gate}) A"
