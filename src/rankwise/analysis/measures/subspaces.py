"""Similarity of subspaces and the amplification of W: LoRA, Hu et al., 2021, arXiv 2106.09685, section 7.

phi(i, j) = |U_i^T V_j|_F^2 / min(i, j)  in [0, 1], U_i and V_j the first i and j columns
amplification = |D|_F / |U_r^T W V_r|_F, U_r and V_r the top-r singular vectors of D
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def similarity(U: Tensor, V: Tensor, i: int, j: int) -> float:
    """Return phi(i, j) of two orthonormal bases (n, at least i) and (n, at least j)."""
    return float((U[:, :i].T @ V[:, :j]).square().sum() / min(i, j))


def similarity_grid(U: Tensor, V: Tensor, rows: list[int], columns: list[int]) -> list[list[float]]:
    """Return phi(i, j) for every i of ``rows`` and j of ``columns``."""
    return [[similarity(U, V, i, j) for j in columns] for i in rows]


def random_similarity(i: int, j: int, n: int) -> float:
    """Return the expected phi of two random subspaces of an n-dimensional space: max(i, j) / n."""
    return max(i, j) / n


def row_space(A: Tensor) -> Tensor:
    """Return an orthonormal basis (d_in, rank) of the rows of A (rank, d_in), by descending singular value."""
    return torch.linalg.svd(A.T, full_matrices=False)[0]


def principal_angles(U: Tensor, V: Tensor) -> Tensor:
    """Return the angles in radians, ascending, between two subspaces given by orthonormal bases.

    From the sine side where the cosine is near 1, whose arccos would lose half the digits.
    """
    cosines = torch.linalg.svdvals(U.T @ V).clamp(max=1.0)
    outside = V - U @ (U.T @ V)
    sines = torch.linalg.svdvals(outside).clamp(max=1.0).flip(0)[: len(cosines)]
    return torch.where(cosines > 0.7, torch.asin(sines), torch.acos(cosines))


def projections(W: Tensor, U: Tensor, V: Tensor) -> float:
    """Return |U^T W V|_F, how much of W lies in the directions U (d_out, r) and V (d_in, r)."""
    return float(torch.linalg.matrix_norm(U.T @ W @ V))


def random_projection(W: Tensor, rank: int) -> float:
    """Return the root mean square of |U^T W V|_F over random U and V of ``rank`` columns: r |W|_F / sqrt(d_out d_in).

    Every entry of U^T W V is u^T W v for unit vectors u and v, whose mean square is |W|_F^2 / (d_out d_in).
    """
    return rank * float(torch.linalg.matrix_norm(W)) / math.sqrt(W.shape[0] * W.shape[1])


def amplification(W: Tensor, U: Tensor, sigma: Tensor, V: Tensor, rank: int) -> float:
    """Return |D|_F / |U_r^T W V_r|_F for D = U diag(sigma) V^T: how much D amplifies what W has there."""
    return float(torch.linalg.vector_norm(sigma)) / projections(W, U[:, :rank], V[:, :rank])
