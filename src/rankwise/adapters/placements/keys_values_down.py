"""Where (IA)3 goes: keys, values and the last projection of every feed-forward block (arXiv 2205.05638, section 3.3).

In models that compute query, key and value in one layer, that layer stands for keys and values, as in PEFT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.base import Placement
from rankwise.models.structure import LAST_PROJECTION

KEYS_VALUES = re.compile(r"(^|\.)(k_proj|v_proj|key|value|k|v|c_attn|query_key_value|qkv_proj|W_pack)$")


@dataclass(frozen=True)
class KeysValuesDown(Placement):
    """Keys, values and last feed-forward projections."""

    name: ClassVar[str] = "keys-values-down"

    def matches(self, names: list[str]) -> list[str]:
        """Return those whose name says so."""
        return [name for name in names if KEYS_VALUES.search(name) or LAST_PROJECTION.search(name)]
