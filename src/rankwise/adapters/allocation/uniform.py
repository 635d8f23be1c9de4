"""The same rank everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.allocation.base import Allocation


@dataclass(frozen=True)
class Uniform(Allocation):
    """The usual case."""

    name: ClassVar[str] = "uniform"

    def ranks(self, modules: Sequence[str], rank: int) -> dict[str, int]:
        """Return ``rank`` for every module."""
        return dict.fromkeys(modules, rank)

    def describe(self) -> str:
        """Return nothing."""
        return ""
