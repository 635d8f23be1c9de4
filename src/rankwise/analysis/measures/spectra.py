"""Singular spectra and what they say: effective ranks, energy, truncation error (docs/design/formulas.md#spectra).

stable rank     |D|_F^2 / |D|_2^2
effective rank  |D|_* / |D|_2
entropy rank    exp(-sum p ln p), p = sigma / sum sigma
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Energy = Literal["sum", "squares"]


def product_singular_values(B: Tensor, A: Tensor) -> Tensor:
    """Return the singular values of ``B @ A`` (descending), from QR of the thin factors.

    B is (d_out, k) and A (k, d_in); with k no smaller than a side the dense product is the smaller matrix. The cost
    is O((d_out + d_in) k^2): the d_out x d_in product is never formed where k is small.
    """
    if B.shape[1] >= min(B.shape[0], A.shape[1]):
        return torch.linalg.svdvals(B @ A)
    R_left = torch.linalg.qr(B, mode="r").R
    R_right = torch.linalg.qr(A.T, mode="r").R
    return torch.linalg.svdvals(R_left @ R_right.T)


def product_svd(B: Tensor, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U (d_out, k), sigma (k,), V (d_in, k) of ``B @ A``, from QR of the thin factors."""
    if B.shape[1] >= min(B.shape[0], A.shape[1]):
        U, sigma, Vt = torch.linalg.svd(B @ A, full_matrices=False)
        return U, sigma, Vt.T
    Q_left, R_left = torch.linalg.qr(B)
    Q_right, R_right = torch.linalg.qr(A.T)
    U, sigma, Vt = torch.linalg.svd(R_left @ R_right.T)
    return Q_left @ U, sigma, Q_right @ Vt.T


def effective_rank(sigma: Tensor) -> float:
    """Return the nuclear norm over the spectral norm; 0 for a zero matrix."""
    return float(sigma.sum() / sigma.max()) if float(sigma.max()) else 0.0


def stable_rank(sigma: Tensor) -> float:
    """Return the squared Frobenius norm over the squared spectral norm; 0 for a zero matrix."""
    return float((sigma**2).sum() / sigma.max() ** 2) if float(sigma.max()) else 0.0


def entropy_rank(sigma: Tensor) -> float:
    """Return exp of the entropy of the normalized singular values; 0 for a zero matrix."""
    total = float(sigma.sum())
    if not total:
        return 0.0
    p = sigma[sigma > 0] / total
    return float(torch.exp(-(p * p.log()).sum()))


def numerical_rank(sigma: Tensor, d_out: int, d_in: int) -> int:
    """Count the singular values above max(d_out, d_in) * eps * sigma_1."""
    threshold = max(d_out, d_in) * torch.finfo(sigma.dtype).eps * float(sigma.max())
    return int((sigma > threshold).sum())


def energy_rank(sigma: Tensor, share: float = 0.9, energy: Energy = "squares") -> int:
    """Return the smallest r whose first r singular values hold ``share`` of the energy.

    ``"squares"`` is the share of the squared Frobenius norm (the field's meaning); ``"sum"`` counts the singular
    values themselves, as tutorials do that speak of 90 % of all singular values.
    """
    values = sigma**2 if energy == "squares" else sigma
    total = float(values.sum())
    if not total:
        return 0
    reached = torch.cumsum(values, 0) / total
    return int((reached < share - 1e-12).sum()) + 1


def kept_energy(sigma: Tensor, rank: int) -> float:
    """Return E_r, the share of the squared Frobenius norm in the first ``rank`` singular values."""
    return float((sigma[:rank] ** 2).sum() / (sigma**2).sum())


def truncation_error(sigma: Tensor, rank: int, scale: float = 1.0) -> float:
    """Return |D - scale [D]_r|_F / |D|_F = sqrt(1 - E_r + (scale - 1)^2 E_r)."""
    kept = kept_energy(sigma, rank)
    return max(1 - kept + (scale - 1) ** 2 * kept, 0.0) ** 0.5


def summary(sigma: Tensor) -> dict[str, float]:
    """Return every measure of a spectrum by name."""
    return {
        "effective_rank": effective_rank(sigma),
        "stable_rank": stable_rank(sigma),
        "entropy_rank": entropy_rank(sigma),
        "rank_90_sum": energy_rank(sigma, 0.9, "sum"),
        "rank_90_squares": energy_rank(sigma, 0.9, "squares"),
    }
