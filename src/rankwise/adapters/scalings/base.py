"""The contract of a scaling."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Scaling(Choice, abc.ABC):
    """Maps (alpha, rank) to the factor ``s`` in ``W = W0 + s * delta``."""

    inverse: ClassVar[bool] = False
    """It is alpha divided by the rank, so that a part of the components has a scale of its own."""

    @abc.abstractmethod
    def factor(self, alpha: float, rank: int) -> float:
        """Return ``s``."""

    @abc.abstractmethod
    def formula(self, alpha: float, rank: int) -> str:
        """Return ``s`` as text with its numbers, for ``repr(adapter)``."""
