"""Modules whose dotted name matches a regular expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.hosts import has_matrix
from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError
from rankwise.reading import Pattern


@dataclass(frozen=True)
class Regex(Placement):
    """``pattern`` is searched anywhere in the dotted name; the output head can be reached too."""

    name: ClassVar[str] = "regex"
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.pattern:
            raise UsageError("placement 'regex' needs a pattern, for instance regex:q_proj|v_proj.")
        Pattern(self.pattern, "placement pattern")

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Every module that can be adapted, the output head and embeddings included: a person who names it means it."""
        return {name: module for name, module in model.named_modules() if name and has_matrix(module)}

    def matches(self, names: list[str]) -> list[str]:
        """Return the names in which the pattern is found."""
        pattern = Pattern(self.pattern, "placement pattern")
        return [name for name in names if pattern.found_in(name)]

    def describe(self) -> str:
        """Return the pattern."""
        return f"regex {self.pattern!r}"
