"""The price of an open gate: Diff Pruning, Guo et al., 2020, arXiv 2012.07463, equation 5.

    sum over entries of P(z > 0) = sum sigmoid(a - log(-low / high))          low = -1.5, high = 1.5: the log is 0

The expected number of entries that differ from the base.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.masked_difference import HIGH, LOW
from rankwise.adapters.penalties.base import Penalty
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class OpenGates(Penalty):
    """Pushes gates shut."""

    name: ClassVar[str] = "open-gates"
    weight: float = 1.25e-7

    def check(self, adapter: Composition) -> None:
        """There must be gates."""
        if adapter.parametrization.offers != "gates":
            raise UsageError(
                f"penalty {self.name!r} counts gates and needs parametrization 'masked-difference', found "
                f"{adapter.parametrization.name!r}."
            )

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the expected number of open gates."""
        shift = math.log(-LOW / HIGH)
        return torch.stack([torch.sigmoid(own["a"] - shift).sum() for own in factors.values()]).sum()
