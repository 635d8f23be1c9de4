"""Where a search of learning rates starts: a family's rate and a multiple of it, or grids to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

Family = Literal["full", "lora", "edited", "plus"]
"""What shares a rate: full fine-tuning, LoRA, inits that edit the base, LoRA+."""


@dataclass(frozen=True)
class RateRule:
    """Where the search for one method starts.

    Attributes:
        like: the family whose rate it starts from.
        times: its best rate as a multiple of that family's; scales that list rates by family keep to their lists.
        grids: by scale (``smoke``, ``quick``, ``tutorial``), the grid itself in place of all that.

    Raises:
        ValueError: ``times`` or a grid that is not positive, or a grid that does not ascend.
    """

    like: Family = "lora"
    times: float = 1.0
    grids: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.times > 0:
            raise ValueError(f"times must be positive, found {self.times}")
        for scale, rates in self.grids.items():
            if not rates or rates[0] <= 0 or any(after <= before for before, after in pairwise(rates)):
                raise ValueError(f"the grid of {scale} must be positive and ascending, found {rates}")
