"""Ridge on the factors, as in XGBLoRA's objective, Zhang et al., 2024, arXiv 2410.19694:  |A|^2 + |B|^2.

Frobenius norms, summed over the adapted layers.
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
class Ridge(Penalty):
    """Pulls A and B towards zero."""

    name: ClassVar[str] = "ridge"
    weight: float = 1e-4

    def check(self, adapter: Composition) -> None:
        """Factors A or B must train."""
        if LOW_RANK.isdisjoint(adapter.trained_shapes("", 8, 8)):
            raise UsageError(f"penalty {self.name!r} acts on A and B, of which one must train.")

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the sum of squares of all A and B."""
        return torch.stack([own[name].square().sum() for own in factors.values() for name in ("A", "B")]).sum()
