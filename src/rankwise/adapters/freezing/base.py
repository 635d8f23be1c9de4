"""The contract of a freezing choice: which of a parametrization's trainable factors keep their start."""

from __future__ import annotations

import abc
from collections.abc import Collection
from dataclasses import dataclass

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Freezing(Choice, abc.ABC):
    """Chooses by factor name."""

    @abc.abstractmethod
    def trains(self, factors: Collection[str]) -> frozenset[str]:
        """Return those of ``factors`` that train.

        Raises:
            UsageError: a factor that the choice names does not exist.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``; empty when every factor trains."""
