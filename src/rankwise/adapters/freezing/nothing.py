"""Every factor trains."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.freezing.base import Freezing


@dataclass(frozen=True)
class Nothing(Freezing):
    """The usual case."""

    name: ClassVar[str] = "nothing"

    def trains(self, factors: Collection[str]) -> frozenset[str]:
        """Return all of them."""
        return frozenset(factors)

    def describe(self) -> str:
        """Return nothing."""
        return ""
