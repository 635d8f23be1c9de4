"""Several parametrizations as one: every layer carries the part that its place asks for.

A layer's place is told by its name. Where a composite is asked as a whole (the name is empty), its tensors are those of
all parts, each under ``<place>: <name>``: so a choice on another axis that wants a factor by name (freezing, an
optimizer for A and B) finds none and says so.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.adapters.parametrizations.low_rank import LowRank


@dataclass(frozen=True)
class Composite(Parametrization, abc.ABC):
    """One part for every place."""

    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    @abc.abstractmethod
    def parts(self) -> Mapping[str, Parametrization]:
        """Return every part by its place, in words."""

    @abc.abstractmethod
    def place(self, module: str) -> str:
        """Return the place of the module of this dotted name."""

    def at(self, module: str) -> Parametrization:
        """Return the part for this module."""
        return self.parts()[self.place(module)] if module else self

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the tensors of all parts, as if they were on one layer."""
        own = {place: part.shapes(d_out, d_in, rank) for place, part in self.parts().items()}
        return {f"{place}: {name}": shape for place, shapes in own.items() for name, shape in shapes.items()}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Refuse: a layer asks the part that :meth:`at` gives for its name, and only an empty name gives the whole."""
        raise NotImplementedError(f"no layer carries {self.name!r} as a whole, but the part that at(module) gives")


@dataclass(frozen=True)
class OwnLowRank(LowRank):
    """LoRA as a part: it draws A itself, as init 'kaiming' does, for an init would start every part with A and B."""

    needs: ClassVar[frozenset[str]] = frozenset()
    takes_start: ClassVar[bool] = False
    offers: ClassVar[Literal["", "pair", "switch", "gates"]] = ""

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return A uniform within 1/sqrt(d_in), and B = 0."""
        d_out, d_in = host.size
        return {"A": host.uniform(generator, d_in**-0.5, rank, d_in), "B": host.zeros(d_out, rank)}
