"""The feed-forward projections: every linear module of a block that is not attention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.placements.attention import ATTENTION
from rankwise.adapters.placements.base import Placement

FEED_FORWARD = re.compile(
    r"(^|\.)(\w*mlp\w*|\w*ffn\w*|feed_forward|feedforward|intermediate|experts?)(\.|$)"
    r"|(^|\.)(gate_proj|up_proj|down_proj|gate_up_proj|w1|w2|w3|c_fc|fc1|fc2|fc_in|fc_out|dense_h_to_4h|dense_4h_to_h)$"
    r"|(^|\.)output\.dense$",  # BERT's second; attention.output.dense is the attention's
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MLP(Placement):
    """Gate, up and down projections (or fc1, fc2, c_fc, c_proj of the MLP)."""

    name: ClassVar[str] = "mlp"

    def matches(self, names: list[str]) -> list[str]:
        """Return those whose path is in a feed-forward block."""
        return [name for name in names if FEED_FORWARD.search(name) and not ATTENTION.search(name)]
