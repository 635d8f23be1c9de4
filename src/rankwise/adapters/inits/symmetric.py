"""Both factors random, their product subtracted again (docs/design/formulas.md#the-symmetric-start).

A0 and B0 are normal with standard deviations 1/sqrt(d_in) and 1/sqrt(rank), or orthonormal (rows of A0, columns of B0).
The usual form edits the base, W0' = W0 - s B0 A0; here the start is a frozen offset
(docs/design/methods.md#the-frozen-start).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.adapters.orthonormal import orthonormal_columns
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Symmetric(Init):
    """A0 and B0 of one kind, neither zero."""

    name: ClassVar[str] = "symmetric"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    draw: Literal["normal", "orthonormal"] = "normal"

    def __post_init__(self) -> None:
        if self.draw not in ("normal", "orthonormal"):
            raise UsageError(f"draw of init 'symmetric' must be 'normal' or 'orthonormal', found {self.draw!r}.")

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse more orthonormal vectors than there are dimensions."""
        if self.draw == "orthonormal" and rank > min(d_in, d_out):
            raise UsageError(
                f"init 'symmetric' with orthonormal factors needs rank <= min(d_in, d_out), but rank is {rank} and "
                f"{module} is {d_out} x {d_in}; use rank <= {min(d_in, d_out)}, another placement, or draw 'normal'."
            )

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A0, then B0."""
        d_out, d_in = W0.shape
        if self.draw == "orthonormal":
            A = orthonormal_columns(d_in, rank, W0.dtype, generator).T
            return {"A": A, "B": orthonormal_columns(d_out, rank, W0.dtype, generator)}
        A = torch.randn(rank, d_in, generator=generator, dtype=W0.dtype) / d_in**0.5
        return {"A": A, "B": torch.randn(d_out, rank, generator=generator, dtype=W0.dtype) / rank**0.5}
