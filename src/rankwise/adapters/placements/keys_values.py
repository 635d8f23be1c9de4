"""Key and value projections of their own: where prefix tuning (arXiv 2101.00190) puts its rows.

Layers that compute query, key and value in one are not among them: a prefix has no query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.base import Placement

_KEYS_VALUES = re.compile(r"(^|\.)(k_proj|v_proj|key|value|k|v)$")


@dataclass(frozen=True)
class KeysValues(Placement):
    """Keys and values."""

    name: ClassVar[str] = "keys-values"

    def matches(self, names: list[str]) -> list[str]:
        """Return them."""
        return [name for name in names if _KEYS_VALUES.search(name)]
