"""The best low-rank stand-in of an update, and what it loses (Eckart and Young, 1936).

The best rank-k approximation of D = U S V^T keeps the k largest singular values; the squared error is the sum of the
others. Of a product B A it comes from two thin QR factorizations and an SVD of their small core, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """An update as ``U diag(S) Vh``: U (d_out, n), S (n,) descending, Vh (n, d_in), float64."""

    U: Tensor
    S: Tensor
    Vh: Tensor

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Return A = V_k^T (k, d_in) and B = U_k S_k (d_out, k)."""
        return self.Vh[:rank], self.U[:, :rank] * self.S[:rank]

    def error(self, rank: int) -> float:
        """Return the Frobenius norm of what rank ``rank`` loses, over that of the whole; 0 for a zero update."""
        whole = float(self.S.square().sum())
        return (float(self.S[rank:].square().sum()) / whole) ** 0.5 if whole else 0.0

    def rank_for(self, energy: float) -> int:
        """Return the smallest rank that keeps the share ``energy`` of the squared singular values, at least 1."""
        squares = self.S.square()
        whole = squares.sum()
        if not float(whole):
            return 1
        return min(int((squares.cumsum(0) < energy * whole).sum()) + 1, len(self.S))


def of_dense(delta: Tensor) -> Spectrum:
    """Factorize a dense update (d_out, d_in)."""
    U, S, Vh = torch.linalg.svd(delta.double(), full_matrices=False)
    return Spectrum(U, S, Vh)


def of_product(A: Tensor, B: Tensor) -> Spectrum:
    """Factorize B A without forming it; A (k, d_in), B (d_out, k)."""
    left, core_B = torch.linalg.qr(B.double())
    right, core_A = torch.linalg.qr(A.double().T)
    U, S, Vh = torch.linalg.svd(core_B @ core_A.T, full_matrices=False)
    return Spectrum(left @ U, S, Vh @ right.T)
