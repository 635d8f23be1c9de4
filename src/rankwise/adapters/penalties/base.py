"""The contract of a penalty: a differentiable scalar of the factors, added to the loss once per optimizer step.

It is not scaled by the number of passes, targets or examples, and it is logged apart from the loss of the data.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from rankwise.adapters.axis import Choice
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class Penalty(Choice, abc.ABC):
    """Adds ``weight * value(factors)`` to the loss of every optimizer step."""

    weight: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.weight, bool) or not isinstance(self.weight, (int, float)) or not 0 < self.weight < 1e30:
            raise UsageError(f"the weight of penalty {self.name!r} must be a positive number, found {self.weight!r}.")
        object.__setattr__(self, "weight", float(self.weight))  # 1 and 1.0 are one choice, with one run key

    @abc.abstractmethod
    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the unweighted penalty, a scalar with a graph to the factors.

        Args:
            factors: the tensors by dotted module name and factor name, frozen ones too.
        """

    def acts(self, step: int, steps: int) -> bool:
        """Return whether it is in the loss of optimizer step ``step`` (from 1) of ``steps``; always by default."""
        return True

    def check(self, adapter: Composition) -> None:
        """Refuse an adapter this penalty cannot serve.

        Raises:
            UsageError: naming the parameter, the requirement and the value found.
        """

    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``."""
        return f"penalty {self.weight:g} {self.name}"
