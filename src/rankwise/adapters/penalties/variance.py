"""The dimensional equilibrium modulator of DoRA (dynamic rank distribution), Mao et al., 2024, arXiv 2405.17357:

    mean over layers and components k of  Var(entries of row k of A) + Var(entries of column k of B)

which keeps a component from living on a few dimensions. Population variances. As in the
authors' code it ends when the pruning does: ``until`` is the share of the run after which it rests.
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
class Variance(Penalty):
    """Evens out the entries of every component."""

    name: ClassVar[str] = "variance"
    until: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.until, bool) or not isinstance(self.until, (int, float)) or not 0 < self.until <= 1:
            raise UsageError(f"until of penalty {self.name!r} must be a number in (0, 1], found {self.until!r}.")
        object.__setattr__(self, "until", float(self.until))

    def acts(self, step: int, steps: int) -> bool:
        """Return whether the share of the run is not over; the first step always counts."""
        return step <= max(1, int(self.until * steps + 1e-9))

    def check(self, adapter: Composition) -> None:
        """Factors A and B must train."""
        if not LOW_RANK.issubset(adapter.trained_shapes("", 8, 8)):
            raise UsageError(f"penalty {self.name!r} acts on A and B, which must both train.")

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the mean of the two variances over all components."""
        terms = [own["A"].var(dim=1, correction=0) + own["B"].var(dim=0, correction=0) for own in factors.values()]
        return torch.cat(terms).mean()
