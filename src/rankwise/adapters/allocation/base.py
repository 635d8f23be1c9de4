"""The contract of an allocation: the rank of every module, from the adapter's own rank and the modules' names.

The scale s stays what it is at the adapter's rank.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.adapters.axis import Choice


@dataclass(frozen=True)
class Allocation(Choice, abc.ABC):
    """Shares out rank."""

    @abc.abstractmethod
    def ranks(self, modules: Sequence[str], rank: int) -> dict[str, int]:
        """Return the rank, at least 1, of every module by dotted name."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``; empty when every module has the adapter's rank."""


def depth(module: str) -> int:
    """Return the number of the layer that a dotted name lies in (its first whole part of digits), 0 without one."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", module)
    return int(found.group(1)) if found else 0


def layer(module: str) -> str:
    """Return the name of that layer, for instance ``model.layers.3``; the module itself without one."""
    found = re.search(r"^(.*?(?:^|\.)\d+)(?:\.|$)", module)
    return found.group(1) if found else module
