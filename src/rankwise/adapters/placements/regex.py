"""Modules whose dotted name matches a regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.hosts import has_matrix
from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Regex(Placement):
    """``pattern`` is searched anywhere in the dotted name; the output head can be reached too."""

    name: ClassVar[str] = "regex"
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.pattern:
            raise UsageError("placement 'regex' needs a pattern, for instance regex:q_proj|v_proj.")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(f"placement pattern {self.pattern!r} is not a regular expression: {error}.") from error

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Every module that can be adapted, the output head and embeddings included: a person who names it means it."""
        return {name: module for name, module in model.named_modules() if name and has_matrix(module)}

    def matches(self, names: list[str]) -> list[str]:
        """Return the names in which the pattern is found."""
        return [name for name in names if re.search(self.pattern, name)]

    def describe(self) -> str:
        """Return the pattern."""
        return f"regex {self.pattern!r}"
