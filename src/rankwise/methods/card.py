"""A method's card: what the catalogue says about one published method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import checked


@dataclass(frozen=True)
class Card:
    """One published method as one choice per axis.

    Attributes:
        name: catalogue name: the paper's short name in snake_case.
        axes: what differs from LoRA, axis to choice.
        export_rank: rank of the exact plain-LoRA form, for instance ``"r"`` or ``"2r"``; ``"-"`` if there is none.
        fidelity: what the implementation is compared with, and how closely it agrees.
        owns_base: trains a private copy of the base.
        build: makes the spec from keyword options, and refuses one it does not take; it is ``rankwise.methods.NAME``.
    """

    name: str
    arxiv: str
    title: str
    axes: dict[str, str]
    formula: str
    merges: bool
    export_rank: str
    fidelity: str
    citation: str
    build: Callable[..., Adapter | Full]
    owns_base: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "build", checked(self.build, f"method {self.name!r}"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values (everything but the builder)."""
        return {k: v for k, v in self.__dict__.items() if k != "build"}
