"""B A where A and B are not the tensors that train, but made out of them."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, project


@dataclass(frozen=True)
class Pair(Delta, abc.ABC):
    """B A, where :meth:`pair` gives both."""

    @abc.abstractmethod
    def pair(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return A (k, d_in) and B (d_out, k), in the precision of the factors."""

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products."""
        A, B = self.pair(factors)
        h = project(drop(x), A)
        return linear(h, B.to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B A."""
        A, B = self.pair(factors)
        return B @ A

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """A and s B."""
        A, B = self.pair(factors)
        return A, host.scaling * B
