"""Generalization bounds of training A, B or both: Zhu et al., 2024, arXiv 2402.16842.

    sqrt(2 sigma^2 ln 2 / N * r q * sum of sides)

over the adapted layers: d_in + d_out when both train, d_out for B alone, d_in for A alone; sigma the loss's
sub-Gaussian constant, q bits per parameter, N samples. Taken from knowledge of the paper, not re-verified there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def generalization_bounds(
    shapes: Sequence[tuple[int, int]], rank: int, samples: int, *, bits: int = 16, sigma: float = 1.0
) -> dict[str, float]:
    """Return the bound of ``both``, ``B`` and ``A`` for adapted layers of (d_out, d_in)."""
    sides = {"both": sum(m + n for m, n in shapes), "B": sum(m for m, _ in shapes), "A": sum(n for _, n in shapes)}
    return {k: math.sqrt(2 * sigma**2 * math.log(2) / samples * rank * bits * v) for k, v in sides.items()}


def best_B(target: Tensor, A: Tensor, covariance: Tensor) -> Tensor:
    """Return the B that minimizes E |(target - B A) x|^2, x with this covariance: target C A^T (A C A^T)^-1."""
    return target @ covariance @ A.T @ (A @ covariance @ A.T).inverse()


def best_A(target: Tensor, B: Tensor) -> Tensor:
    """Return the A that minimizes the same with B fixed: the pseudo-inverse of B, times the target."""
    return B.pinverse() @ target


def regression_loss(target: Tensor, update: Tensor, covariance: Tensor) -> float:
    """Return E |(target - update) x|^2 = tr((target - update) C (target - update)^T)."""
    rest = target - update
    return float((rest @ covariance * rest).sum())
