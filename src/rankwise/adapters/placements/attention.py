"""The attention projections, found by path so that GPT-2's two ``c_proj`` are told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.base import Placement

# A module belongs to attention when a part of its path says so, or when its own name is used nowhere else.
ATTENTION = re.compile(
    r"(^|\.)(\w*attn\w*|\w*attention\w*)(\.|$)|(^|\.)(q_proj|k_proj|v_proj|o_proj|qkv_proj|W_pack|query_key_value)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Attention(Placement):
    """Query, key, value and output projections."""

    name: ClassVar[str] = "attention"

    def matches(self, names: list[str]) -> list[str]:
        """Return those whose path is in an attention block."""
        return [name for name in names if ATTENTION.search(name)]
