"""Some factors train, the others keep their start: LoRA-FA trains B only (arXiv 2308.03303), as does asymmetric LoRA
(2402.16842); LoRA-XS trains the core between two frozen factors (2405.17604).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, cast

from rankwise.adapters.freezing.base import Freezing
from rankwise.errors import UsageError, unknown


@dataclass(frozen=True)
class Only(Freezing):
    """Trains ``factors``, for instance ``("B",)``."""

    name: ClassVar[str] = "only"
    factors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(cast(object, self.factors), str):
            raise UsageError(f"factors must be a list of names, found one string; use ({self.factors!r},).")
        object.__setattr__(self, "factors", tuple(self.factors))  # a list could not be hashed
        if not self.factors:
            raise UsageError("freezing 'only' needs at least one factor that trains, for instance ('B',).")

    def trains(self, factors: Collection[str]) -> frozenset[str]:
        """Return the named ones."""
        for name in self.factors:
            if name not in factors:
                raise unknown("factor", name, factors)
        return frozenset(self.factors)

    def describe(self) -> str:
        """Return for instance ``training B only``."""
        return f"training {', '.join(self.factors)} only"
