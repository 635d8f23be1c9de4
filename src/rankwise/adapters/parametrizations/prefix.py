"""Prefix tuning: Optimizing Continuous Prompts for Generation, Li and Liang, 2021, arXiv 2101.00190, section 4.

    keys are [P_K; W_K x] and values [P_V; W_V x] in every layer        P: (tokens, d_out)

On every key and value projection. The placeholders in front are real tokens (id 0), and P_K and P_V are the keys and
values that they have plus what trains, which starts at zero: activations of real tokens, as the paper advises for
little data. Rows drawn at random raised the default model's loss from 2.9 to 4.7. Nothing of the input reaches the
placeholders, so every prefix can be had in this way.

Deviations: the rows train as they are, without the paper's network that makes them while training; and P_K stands
before the rotation of positions (0 to tokens - 1): the key that PEFT stores, turned back by its own position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host
from rankwise.adapters.parametrizations.virtual import Virtual


@dataclass(frozen=True)
class Prefix(Virtual):
    """Trained keys and values in front of every layer's own."""

    name: ClassVar[str] = "prefix"
    lookup: ClassVar[bool] = False
    replaces: ClassVar[bool] = False
    rate: ClassVar[float] = 10.0

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return zero."""
        return {"P": host.zeros(self.tokens, host.size[0])}

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return f"[P; W0 x], {self.tokens} rows of P train"
