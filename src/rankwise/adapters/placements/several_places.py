"""Several kinds of place at once, each of which the model must have."""

from __future__ import annotations

import abc
from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError


@dataclass(frozen=True)
class SeveralPlaces(Placement, abc.ABC):
    """All modules of all its places."""

    @abc.abstractmethod
    def places(self, model: nn.Module) -> dict[str, Collection[str]]:
        """Return the dotted names of the modules at each place, by what a message calls one of them."""

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules of all places.

        Raises:
            UsageError: one of the places is missing.
        """
        places = self.places(model)
        for what, found in places.items():
            if not found:
                raise UsageError(f"placement {self.name!r} finds no {what} in this {type(model).__name__}; use 'lora'.")
        chosen = {name for found in places.values() for name in found}
        return {name: module for name, module in model.named_modules() if name in chosen}

    def matches(self, names: list[str]) -> list[str]:
        """Return all of them."""
        return names
