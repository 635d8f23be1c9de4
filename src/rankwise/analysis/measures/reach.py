"""How close each way of changing a weight can come to a given one: the taxonomy of arXiv 2407.05417.

``W`` is the target (for instance the weight after full fine-tuning), ``W0`` the start, both (d_out, d_in). Every
function returns the Frobenius norm of the smallest residual ``W - phi(W0)``; all are closed forms except
:func:`decomposed` and :func:`row_and_column_scaling`, alternations of two exact fits: upper bounds that only descend.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _norm(M: Tensor) -> float:
    return float(torch.linalg.matrix_norm(M))


def singular_values_only(W: Tensor, W0: Tensor) -> float:
    """Reconstruction, mode 1: U diag(z) V^T with W0's singular vectors; z = diag(U^T W V) is optimal."""
    U, _, Vt = torch.linalg.svd(W0, full_matrices=False)
    z = ((U.T @ W) * Vt).sum(1)
    return _norm(W - (U * z) @ Vt)


def row_scaling(W: Tensor, W0: Tensor) -> float:
    """Reconstruction, mode 2: diag(l) W0; each l_i is a least-squares fit of one row."""
    return _norm(W - _fit_rows(W, W0)[:, None] * W0)


def column_scaling(W: Tensor, W0: Tensor) -> float:
    """Reconstruction, mode 2: W0 diag(l)."""
    return row_scaling(W.T, W0.T)


def row_and_column_scaling(W: Tensor, W0: Tensor, rounds: int = 50) -> float:
    """Reconstruction, mode 2 on both sides: diag(b) W0 diag(a); alternate the two fits, from either one alone."""
    return min(_scale_both(W, W0, rounds), _scale_both(W.T, W0.T, rounds))


def rotated(W: Tensor, W0: Tensor, block: int) -> float:
    """Reconstruction, mode 3 (OFT): W0 R with R block-diagonal of rotations; a Procrustes problem for each block.

    Raises:
        ValueError: d_in is no multiple of ``block``.
    """
    if W.shape[1] % block:
        raise ValueError(f"{W.shape[1]} columns are no multiple of blocks of {block}")
    left, right = (M.unfold(1, block, block).transpose(0, 1) for M in (W0, W))
    U, _, Vt = torch.linalg.svd(left.transpose(1, 2) @ right)
    turn = torch.linalg.det(U @ Vt).sign()  # a reflection cannot be reached: give up the direction that matters least
    U = torch.cat([U[..., :-1], U[..., -1:] * turn[:, None, None]], -1)
    return float(torch.linalg.vector_norm(right - left @ (U @ Vt)))


def entries(W: Tensor, W0: Tensor, count: int) -> float:
    """Reconstruction, mode 3 (diff pruning): ``count`` free entries; the largest differences are the best choice."""
    rest = (W - W0).abs().flatten().sort(descending=True).values[count:]
    return float(torch.linalg.vector_norm(rest))


def low_rank(W: Tensor, W0: Tensor, rank: int) -> float:
    """Extension: W0 + B A; the tail of the singular values of W - W0 (Eckart and Young)."""
    return float(torch.linalg.vector_norm(torch.linalg.svdvals(W - W0)[rank:]))


def replaced(W: Tensor, W0: Tensor, start: Tensor, rank: int) -> float:
    """W0 - start + B A: a low-rank part is taken out of W0 and trained (PiSSA, MiLoRA, OLoRA, Spectral Adapter)."""
    return low_rank(W, W0 - start, rank)


def top_directions(W0: Tensor, rank: int) -> Tensor:
    """Return W0's best approximation of ``rank``: the start of PiSSA; W0's remainder is that of MiLoRA."""
    U, sigma, Vt = torch.linalg.svd(W0, full_matrices=False)
    return (U[:, :rank] * sigma[:rank]) @ Vt[:rank]


def first_columns(W0: Tensor, rank: int) -> Tensor:
    """Return Q_r R_r of W0 = Q R: the start of OLoRA."""
    Q, R = torch.linalg.qr(W0)
    return Q[:, :rank] @ R[:rank]


def core(W: Tensor, W0: Tensor, rank: int) -> float:
    """Extension in W0's own top-r singular spaces (LoRA-XS): an r x r core, U_r^T (W - W0) V_r."""
    U, _, Vt = torch.linalg.svd(W0, full_matrices=False)
    inside = _norm(U[:, :rank].T @ (W - W0) @ Vt[:rank].T)
    return math.sqrt(max(_norm(W - W0) ** 2 - inside**2, 0.0))


def frozen_rows(W: Tensor, W0: Tensor, A: Tensor) -> float:
    """Extension with a fixed A (rank, d_in): what of W - W0 lies outside its rows."""
    Q = torch.linalg.qr(A.T).Q
    D = W - W0
    return _norm(D - (D @ Q) @ Q.T)


def decomposed(W: Tensor, W0: Tensor, rank: int, rounds: int = 20) -> float:
    """Combination (DoRA): m V / |V| with V = W0 + B A is diag(g) W0 + any rank-r matrix; alternate the two fits."""
    g = torch.ones(len(W0), dtype=W0.dtype)
    error = math.inf
    for _ in range(rounds):
        U, sigma, Vt = torch.linalg.svd(W - g[:, None] * W0, full_matrices=False)
        update = (U[:, :rank] * sigma[:rank]) @ Vt[:rank]
        g = _fit_rows(W - update, W0)
        now = _norm(W - update - g[:, None] * W0)
        if error - now <= 1e-9 * max(now, 1e-300):
            return min(now, error)
        error = now
    return error


def _scale_both(W: Tensor, W0: Tensor, rounds: int) -> float:
    a = torch.ones(W0.shape[1], dtype=W0.dtype)
    error = math.inf
    for _ in range(rounds):
        b = _fit_rows(W, W0 * a)
        a = _fit_rows(W.T, (b[:, None] * W0).T)
        now = _norm(W - b[:, None] * W0 * a)
        if error - now <= 1e-9 * max(now, 1e-300):
            return min(now, error)
        error = now
    return error


def _fit_rows(W: Tensor, W0: Tensor) -> Tensor:
    size = W0.square().sum(1)
    return torch.where(size > 0, (W * W0).sum(1) / torch.where(size > 0, size, 1.0), 0.0)
