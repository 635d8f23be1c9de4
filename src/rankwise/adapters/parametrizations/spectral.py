"""Moving the top singular vectors of W0 = U diag(S) V: Spectral Adapter, Zhang and Pilanci, 2024, arXiv 2405.13952.

    W = W0 + (U_r + P) diag(S_r) (V_r + Q) - U_r diag(S_r) V_r                 additive, equation 1
    W = W0 + U_r (R_P diag(S_r) R_Q - diag(S_r)) V_r                           rotational, equation 2

P: (d_out, rank) and Q: (rank, d_in) start at zero. R_P and R_Q are Cayley rotations (I + Z) (I - Z)^-1 of
skew-symmetric Z, whose entries above the diagonal, P and Q: (rank (rank - 1) / 2,), start at zero. U_r, S_r and V_r are
frozen and saved. ``first`` skips the top singular vectors for another block of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.adapters.parametrizations.rotation import cayley_minus_identity, skew
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Spectral(Delta):
    """Singular vectors that move, additively or by rotations among themselves."""

    name: ClassVar[str] = "spectral"
    rate: ClassVar[float] = 0.3
    needs: ClassVar[frozenset[str]] = frozenset()
    form: Literal["additive", "rotational"] = "additive"
    first: int = 0

    def __post_init__(self) -> None:
        if self.form not in ("additive", "rotational"):
            raise UsageError(f"form of 'spectral' must be 'additive' or 'rotational', found {self.form!r}.")
        if isinstance(self.first, bool) or not isinstance(self.first, int) or self.first < 0:
            raise UsageError(f"first of 'spectral' must be a whole number of at least 0, found {self.first!r}.")

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer without as many singular vectors."""
        most = min(d_out, d_in) - self.first
        if rank > most:
            raise UsageError(
                f"parametrization 'spectral' needs rank <= min(d_in, d_out), but rank is {rank} and {module} is "
                f"{d_out} x {d_in}; use rank <= {most}, or another placement."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """LoRA's parameters, or rank (rank - 1) of them."""
        if self.form == "additive":
            return {"P": (d_out, rank), "Q": (rank, d_in)}
        return {"P": (rank * (rank - 1) // 2,), "Q": (rank * (rank - 1) // 2,)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the block of singular vectors and values."""
        return {"U": (d_out, rank), "S": (rank,), "V": (rank, d_in)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Factorize W0; P = Q = 0."""
        U, S, V = torch.linalg.svd(host.W0.to(host.zeros(0).dtype), full_matrices=False)
        block = slice(self.first, self.first + rank)
        moved = {name: host.zeros(*shape) for name, shape in self.shapes(*host.size, rank).items()}
        return {**moved, "U": U[:, block], "S": S[block], "V": V[block]}

    def described_shapes(self) -> dict[str, str]:
        """Return them with the skew entries by name."""
        free = {"P": "(d_out, r)", "Q": "(r, d_in)"} if self.form == "additive" else dict.fromkeys("PQ", "(r (r-1)/2,)")
        return {**free, "U": "(d_out, r), frozen", "S": "(r,), frozen", "V": "(r, d_in), frozen"}

    def core(self, factors: Factors) -> Tensor:
        """Return R_P diag(S) R_Q - diag(S) = G S + S H + G S H with G = R_P - I and H = R_Q - I."""
        S, rank = factors["S"], len(factors["S"])
        G, H = (cayley_minus_identity(skew(factors[name], rank)) for name in "PQ")
        return G * S + S[:, None] * H + (G * S) @ H

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """[V; Q] and s [P S, (U + P) S]: rank 2r; V and s U core: rank r."""
        U, S, V, P, Q = (factors[name] for name in "USVPQ")
        if self.form == "rotational":
            return V, host.scaling * (U @ self.core(factors))
        return torch.cat([V, Q]), host.scaling * torch.cat([P * S, (U + P) * S], dim=1)

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Thin products: P S (V x) + (U + P) S (Q x), or U (core (V x))."""
        U, S, V, P, Q = (factors[name] for name in "USVPQ")
        x = drop(x)
        h = project(x, V)
        if self.form == "rotational":
            return linear(linear(h, self.core(factors).to(h.dtype)), U.to(h.dtype))
        return linear(h, (P * S).to(h.dtype)) + linear(project(x, Q), ((U + P) * S).to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense form of the same."""
        U, S, V, P, Q = (factors[name] for name in "USVPQ")
        if self.form == "rotational":
            return U @ self.core(factors) @ V
        return (P * S) @ V + ((U + P) * S) @ Q

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return the update as text."""
        if self.form == "rotational":
            return f"{scale} U (R_P S R_Q - S) V"
        return f"{scale} ((U + P) S (V + Q) - U S V)"
