"""Ways to make the rows of A orthogonal, batched over modules of one shape; what :class:`Orthogonalize` applies.

All are changes of coordinates A <- M A with an invertible M (rank x rank). Folding, B <- B M^-1, leaves B A as it was:

    qr      A^T = Q R          A <- Q^T                        M^-1 = R^T
    polar   P = (A A^T)^1/2    A <- c P^-1 A, c = trace(P) / r   M^-1 = P / c     (the smallest move of A)
    ema     A <- (1 - e) A + e c P^-1 A                        M^-1 = ((1 - e) I + e c P^-1)^-1
    row     A <- D^-1 A, D the norms of the rows               M^-1 = D
    gradual A <- A - h (A A^T / c^2 - I) A                     (a gradient step for A / c, c the scale it has)

M itself is needed only for the optimizer's moments: with A' = M A and B' = B M^-1 a gradient of A becomes M^-T g and
one of B becomes g M^T. Shapes: A (P, R, I), B (P, O, R), in float64; P modules, R rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 1e-12  # of a singular value, relative to the largest: only the moments divide by one


@dataclass(frozen=True)
class Form:
    """Where a change leads.

    Attributes:
        A: (P, R, I) the new rows.
        inverse: (P, R, R) M^-1, with which B is multiplied from the right when it is folded.
        M: (P, R, R) the change of coordinates, its largest entries cut where A is rank-deficient.
    """

    A: Tensor
    inverse: Tensor
    M: Tensor


def qr(A: Tensor, strength: float) -> Form:
    """Rows by Gram and Schmidt, first row first, pointing as they did."""
    Q, R = signed_qr(A.mT)
    inverse = R.mT
    U, S, Vh = torch.linalg.svd(inverse)
    return Form(Q.mT, inverse, Vh.mT @ (U / _floored(S)[:, None]).mT)


def polar(A: Tensor, strength: float) -> Form:
    """The nearest rows that are orthogonal and of one length."""
    U, S, W, c = _polar(A)
    return Form(c * W, _around(U, S / c[..., 0]), _around(U, c[..., 0] / _floored(S)))


def ema(A: Tensor, strength: float) -> Form:
    """A part ``strength`` of the way to :func:`polar`."""
    U, S, W, c = _polar(A)
    scale = c[..., 0]
    inverse = S / ((1 - strength) * S + strength * scale)
    return Form((1 - strength) * A + strength * c * W, _around(U, inverse), _around(U, 1 / inverse.clamp_min(FLOOR)))


def row(A: Tensor, strength: float) -> Form:
    """Rows of length one; every angle stays."""
    norms = torch.linalg.vector_norm(A, dim=-1)
    safe = torch.where(norms > 0, norms, 1.0)
    return Form(A / safe[..., None], torch.diag_embed(safe), torch.diag_embed(1 / safe))


def gradual(A: Tensor, strength: float) -> Form:
    """One step of gradient descent towards orthogonal rows; shortened where the largest row would overshoot."""
    U, S, _, c = _polar(A)
    squares = (S / c[..., 0]).square()
    step = strength / squares.amax(-1, keepdim=True).clamp_min(1.0)
    factor = 1 - step * (squares - 1)
    return Form(_around(U, factor) @ A, _around(U, 1 / factor), _around(U, factor))


FORMS: dict[str, Callable[[Tensor, float], Form]] = {
    "qr": qr,
    "row_norm": row,
    "row_norm_fold": row,
    "qr_fold": qr,
    "polar_fold": polar,
    "ema": ema,
    "ema_fold": ema,
    "gradual": gradual,
}


def signed_qr(X: Tensor) -> tuple[Tensor, Tensor]:
    """QR with a diagonal of R that is not negative, so that nothing is turned around without need."""
    Q, R = torch.linalg.qr(X)
    sign = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(X.dtype)
    return Q * sign[..., None, :], R * sign[..., None]


def unit_columns(B: Tensor) -> Tensor:
    """Columns of length one; zero ones stay zero."""
    norms = torch.linalg.vector_norm(B, dim=-2, keepdim=True)
    return B / torch.where(norms > 0, norms, 1.0)


def coherence(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest and the mean ``|cos|`` between two rows of each A (P, R, I), (P,) each; 0 for one row."""
    rank = A.shape[-2]
    if rank == 1:
        return A.new_zeros(A.shape[0]), A.new_zeros(A.shape[0])
    size = cosines(A).abs()
    return size.amax((-2, -1)), size.sum((-2, -1)) / (rank * (rank - 1))


def cosines(A: Tensor) -> Tensor:
    """Return the cosines between the rows of each A, (P, R, R), with zeros on the diagonal."""
    unit = row(A, 0.0).A
    found = unit @ unit.mT
    return found - torch.diag_embed(found.diagonal(dim1=-2, dim2=-1))


def product_norm(A: Tensor, B: Tensor) -> Tensor:
    """Return |B A|_F (P,) from two thin QR factorizations: no dense product, and no square that loses digits."""
    return torch.linalg.matrix_norm(torch.linalg.qr(B)[1] @ torch.linalg.qr(A.mT)[1].mT)


def _polar(A: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return U, S of P = U S U^T, the orthonormal rows P^-1 A, and c (P, 1, 1); A may be rank-deficient."""
    Q, R = signed_qr(A.mT)
    U, S, Vh = torch.linalg.svd(R.mT)
    c = S.mean(-1)
    return U, S, U @ Vh @ Q.mT, torch.where(c > 0, c, 1.0)[..., None, None]


def _floored(S: Tensor) -> Tensor:
    largest = S.amax(-1, keepdim=True)
    return torch.maximum(S, torch.where(largest > 0, FLOOR * largest, 1.0))


def _around(U: Tensor, values: Tensor) -> Tensor:
    return (U * values[..., None, :]) @ U.mT
