"""The dimensional equilibrium modulator of DoRA (dynamic rank distribution), Mao et al., 2024, arXiv 2405.17357:

    mean over layers and components k of  Var(entries of row k of A) + Var(entries of column k of B)

which keeps a component from living on a few dimensions. Population variances. Deviations from the paper: it stays on
after the pruning has ended.
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
    from rankwise.adapters.adapter import Adapter


@dataclass(frozen=True)
class Variance(Penalty):
    """Evens out the entries of every component."""

    name: ClassVar[str] = "variance"

    def check(self, adapter: Adapter) -> None:
        """Factors A and B must train."""
        if not LOW_RANK.issubset(adapter.trained_shapes("", 8, 8)):
            raise UsageError(f"penalty {self.name!r} acts on A and B, which must both train.")

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the mean of the two variances over all components."""
        terms = [own["A"].var(dim=1, correction=0) + own["B"].var(dim=0, correction=0) for own in factors.values()]
        return torch.cat(terms).mean()
