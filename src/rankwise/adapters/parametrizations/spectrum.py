"""The singular values of W0 = U diag(S) V: SAM-PARSER, Peng et al., 2023, arXiv 2308.14604, equation 3 ("values"), and
SVDiff, Han et al., 2023, arXiv 2303.11305, equation 3 ("shift").

    W = U diag(t) V                      t starts at S                                      values
    W = U diag(relu(S + scale * t)) V    t starts at zero; the scale is a dial afterwards   shift

U: (d_out, k), V: (k, d_in) and S are frozen and saved, k = min(d_out, d_in): another machine's factorization differs.
The update is U diag(e) V with e the change of the values, zero to the last bit at the start.
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
class Spectrum(Delta):
    """U diag(change of the singular values) V."""

    name: ClassVar[str] = "spectrum"
    rate: ClassVar[float] = 10.0
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True
    form: Literal["values", "shift"] = "values"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in ("values", "shift"):
            raise UsageError(f"form of 'spectrum' must be 'values' or 'shift', found {self.form!r}.")
        number = isinstance(self.scale, (int, float)) and not isinstance(self.scale, bool)
        if not number or not 0 < self.scale < float("inf") or (self.form == "values" and self.scale != 1):
            raise UsageError(
                f"scale of 'spectrum' must be a positive number, and 1 for 'values', found {self.scale!r}."
            )
        object.__setattr__(self, "scale", float(self.scale))

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number for each singular value."""
        return {"t": (min(d_out, d_in),)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the singular vectors and values."""
        k = min(d_out, d_in)
        return {"U": (d_out, k), "S": (k,), "V": (k, d_in)}

    def described_shapes(self) -> dict[str, str]:
        """Return them with k by name."""
        frozen = {"U": "(d_out, k), frozen", "S": "(k,), frozen", "V": "(k, d_in), frozen"}
        return {"t": "(k,), k = min(d_out, d_in)", **frozen}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Factorize W0."""
        U, S, V = torch.linalg.svd(host.W0.to(host.zeros(0).dtype), full_matrices=False)
        return {"t": S.clone() if self.form == "values" else torch.zeros_like(S), "U": U, "S": S, "V": V}

    def change(self, factors: Factors) -> Tensor:
        """Return e."""
        t, S = factors["t"], factors["S"]
        return t - S if self.form == "values" else torch.maximum(self.scale * t, -S)

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two products with a scaling between them."""
        h = project(drop(x), factors["V"])
        return linear(h * self.change(factors).to(h.dtype), factors["U"].to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense U diag(e) V."""
        return (factors["U"] * self.change(factors)) @ factors["V"]

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return the change as text."""
        change = "t - S" if self.form == "values" else f"relu(S + {self.scale:g} t) - S"
        return f"U diag({change}) V"
