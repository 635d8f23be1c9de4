"""Modules by the last part of their name, as PEFT's ``target_modules`` lists them. Every one must exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from torch import nn

from rankwise.adapters.hosts import has_matrix
from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError, unknown


@dataclass(frozen=True)
class Suffixes(Placement):
    """``targets`` such as ``("q_proj", "v_proj")`` or longer dotted endings."""

    name: ClassVar[str] = "suffixes"
    named: ClassVar[bool] = True
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(cast(object, self.targets), str):
            raise UsageError(f"targets must be a list of names, found one string; use ({self.targets!r},).")
        object.__setattr__(self, "targets", tuple(self.targets))  # a list could not be hashed
        if not self.targets:
            raise UsageError("placement 'suffixes' needs at least one target, for instance q_proj,v_proj.")

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Every module that can be adapted, the output head and embeddings included: a person who names it means it."""
        return {name: module for name, module in model.named_modules() if name and has_matrix(module)}

    def matches(self, names: list[str]) -> list[str]:
        """Return names that end with a target; a target that ends none is an error with near misses."""
        for target in self.targets:
            if not any(ends_with(name, target) for name in names):
                raise unknown("target module", target, {name.rsplit(".", 1)[-1] for name in names})
        return [name for name in names if any(ends_with(name, target) for target in self.targets)]

    def describe(self) -> str:
        """Return the targets."""
        return f"targets {', '.join(self.targets)}"


def ends_with(name: str, target: str) -> bool:
    """Return whether ``target`` is the whole of ``name`` or its last dotted parts."""
    return name == target or name.endswith(f".{target}")
