"""The contract of a scaling."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Scaling(Choice, abc.ABC):
    """Maps (alpha, rank) to the factor ``s`` in ``W = W0 + s * delta``."""

    @abc.abstractmethod
    def factor(self, alpha: float, rank: int) -> float:
        """Return ``s``."""

    @abc.abstractmethod
    def formula(self, alpha: float, rank: int) -> str:
        """Return ``s`` as text with its numbers, for ``repr(adapter)``."""
