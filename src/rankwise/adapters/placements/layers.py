"""Some of the model's layers, by number: a range, or every k-th."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


@dataclass(frozen=True)
class Layers(Placement):
    """Linear modules of layers ``first`` to ``last`` (counted from 0, both included), every ``step``-th of them.

    ``last`` -1 is the last layer, -2 the one before it. The first number in a module's path is its layer.
    """

    name: ClassVar[str] = "layers"
    first: int = 0
    last: int = -1
    step: int = 1

    def __post_init__(self) -> None:
        for name in ("first", "last", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise UsageError(f"{name} of placement 'layers' must be a whole number, found {value!r}.")
        if self.step < 1:
            raise UsageError(f"step of placement 'layers' must be at least 1, found {self.step}.")

    def matches(self, names: list[str]) -> list[str]:
        """Return the modules whose layer is chosen.

        Raises:
            UsageError: the model has no such layer.
        """
        numbered = {name: int(found[1]) for name in names if (found := _NUMBER.search(name))}
        count = max(numbered.values(), default=-1) + 1
        first, last = (n + count if n < 0 else n for n in (self.first, self.last))
        if count and not 0 <= first <= last < count:
            raise UsageError(
                f"placement 'layers' {self.first}-{self.last} is not within the model's layers 0-{count - 1}."
            )
        chosen = set(range(first, last + 1, self.step))
        return [name for name, layer in numbered.items() if layer in chosen]

    def describe(self) -> str:
        """Return the range."""
        return f"layers {self.first} to {self.last}" + (f", every {self.step}" if self.step > 1 else "")
