"""The regularizer of AdaLoRA, Zhang et al., 2023, arXiv 2303.10512, equation 4: factors that stay orthonormal.

    R(A, B) = |A A^T - I|^2 + |B^T B - I|^2                 A: (rank, d_in), B: (d_out, rank), Frobenius norms

averaged over all A and all B of the adapter, as the authors' code does.

Deviations from the paper: none with ``squared``; the authors' code takes the norms without the square, as
``squared=False`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import LOW_RANK
from rankwise.adapters.penalties.base import Penalty
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class Orthogonality(Penalty):
    """Pulls the rows of A and the columns of B towards an orthonormal system."""

    name: ClassVar[str] = "orthogonality"
    squared: bool = True

    def check(self, adapter: Composition) -> None:
        """Factors A and B must exist, and one of them train."""
        if not LOW_RANK.issubset(adapter.parametrization.at("").shapes(8, 8, adapter.rank)):
            raise UsageError(
                f"penalty {self.name!r} needs factors A and B, which parametrization {adapter.parametrization.name!r} "
                "does not have; use 'low-rank' or 'diagonal'."
            )
        if LOW_RANK.isdisjoint(adapter.trained_shapes("", 8, 8)):
            found = adapter.freezing.describe()
            raise UsageError(f"penalty {self.name!r} acts on A and B, of which one must train; found {found}.")

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the mean over all A and B of the (squared) distance of their Gram matrix from I."""
        grams = [gram for own in factors.values() for gram in (own["A"] @ own["A"].T, own["B"].T @ own["B"])]
        terms = []
        for gram in grams:
            error = gram - torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
            terms.append(error.square().sum() if self.squared else torch.linalg.vector_norm(error))
        return torch.stack(terms).mean()
