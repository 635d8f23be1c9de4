"""The soft way to orthogonal rows: a penalty instead of an event, so nothing is ever moved at once.

    R(A) = mean over modules of |A A^T - I|^2                               A: (rank, d_in), Frobenius norm

Unlike :class:`Orthogonality` it leaves B alone: |B^T B - I|^2 would push B away from zero, where it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.needs import needs_pair
from rankwise.adapters.penalties.stacking import gram_error, stacks

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class RowOrthogonality(Penalty):
    """Pulls the rows of A towards an orthonormal system."""

    name: ClassVar[str] = "row-orthogonality"

    def check(self, adapter: Composition) -> None:
        """A must train."""
        needs_pair(adapter, self.name)

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the mean over modules."""
        return torch.cat([gram_error(A) for (A,) in stacks(factors, "A")]).mean()
