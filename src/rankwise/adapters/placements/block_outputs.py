"""The last projection of attention and of the feed-forward block: where bottleneck adapters (arXiv 1902.00751) go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rankwise.adapters.placements.base import Placement
from rankwise.errors import UsageError
from rankwise.models.structure import ATTENTION_OUTPUT, LAST_PROJECTION


@dataclass(frozen=True)
class BlockOutputs(Placement):
    """After both blocks, or after the feed-forward block only (Pfeiffer et al., 2020, arXiv 2005.00247)."""

    name: ClassVar[str] = "block-outputs"
    after: Literal["both", "feed-forward"] = "both"

    def __post_init__(self) -> None:
        if self.after not in ("both", "feed-forward"):
            raise UsageError(
                f"after of placement 'block-outputs' must be 'both' or 'feed-forward', found {self.after!r}."
            )

    def matches(self, names: list[str]) -> list[str]:
        """Return the last projections."""
        attention = self.after == "both"
        return [n for n in names if LAST_PROJECTION.search(n) or (attention and ATTENTION_OUTPUT.search(n))]

    def describe(self) -> str:
        """Return the name, and the blocks."""
        return f"{self.name!r} ({self.after})"
