"""What the methods that rotate the inputs of a layer have in common: W = diag(g) W0 R with an orthogonal R.

The update is computed from R - I, never as a difference of two outputs: it is zero to the last bit when R is I.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization


def skew(upper: Tensor, size: int) -> Tensor:
    """Return skew-symmetric matrices (..., size, size) from the entries above their diagonals, row by row."""
    rows, columns = torch.triu_indices(size, size, 1, device=upper.device)
    flat = upper.new_zeros(*upper.shape[:-1], size * size)
    S = flat.index_copy(-1, rows * size + columns, upper).unflatten(-1, (size, size))
    return S - S.mT


def cayley_minus_identity(S: Tensor) -> Tensor:
    """Return (I + S) (I - S)^-1 - I = 2 S (I - S)^-1, rotations less the identity, for skew-symmetric S (..., n, n)."""
    I = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device)  # noqa: E741 (its name)
    return 2 * torch.linalg.solve(I - S, S, left=False)


@dataclass(frozen=True)
class Rotation(Parametrization, abc.ABC):
    """W0 R, where :meth:`turned` gives (R - I) x."""

    kind: ClassVar[Literal["delta"]] = "delta"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True

    @abc.abstractmethod
    def turned(self, x: Tensor, factors: Factors) -> Tensor:
        """Return (R - I) x for rows x (..., d_in), in the dtype of x."""

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return s W0 (R - I) x."""
        update = host.product(self.turned(x, factors))
        return update if host.scaling == 1 else host.scaling * update

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return s W0 (R - I)."""
        W0 = host.W0
        wide = next(iter(factors.values())).dtype
        turned = self.turned(torch.eye(W0.shape[1], dtype=wide, device=W0.device), factors)
        return host.scaling * (W0.to(wide) @ turned.T)
