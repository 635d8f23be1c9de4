"""Rank that grows with depth: PRILoRA, Benedek and Wolf, 2024, arXiv 2401.11316, section 3.1.

    r_l = round(r_first + (r_last - r_first) (l - 1) / (L - 1))        l = 1 ... L, the layer's place from the input

r_first = (1 - spread) rank and r_last = (1 + spread) rank, so that the mean over layers is the adapter's rank; 4 to
12, reported of the paper and not verified, is rank 8 with spread 0.5. Layers are told apart by the first number in a
module's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.allocation.base import Allocation, depth
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Ramp(Allocation):
    """Linear in depth."""

    name: ClassVar[str] = "ramp"
    spread: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.spread, bool) or not isinstance(self.spread, (int, float)) or not 0 <= self.spread < 1:
            raise UsageError(f"spread must be in [0, 1): (r_last - r_first) / (2 rank), found {self.spread!r}.")
        object.__setattr__(self, "spread", float(self.spread))

    def ranks(self, modules: Sequence[str], rank: int) -> dict[str, int]:
        """Return r_l of the layer that each module lies in."""
        places = {number: i for i, number in enumerate(sorted({depth(module) for module in modules}))}
        last = max(len(places) - 1, 1)
        low, high = rank * (1 - self.spread), rank * (1 + self.spread)
        one = len(places) == 1

        def of(module: str) -> int:
            share = 0.5 if one else places[depth(module)] / last
            return max(1, int(low + (high - low) * share + 0.5))  # half up, whatever the parity

        return {module: of(module) for module in modules}

    def describe(self) -> str:
        """Return for instance ``rank growing with depth by 50 % around its mean``."""
        return f"rank growing with depth, {self.spread:.0%} around its mean"
