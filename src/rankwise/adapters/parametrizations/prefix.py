"""Prefix tuning: Optimizing Continuous Prompts for Generation, Li and Liang, 2021, arXiv 2101.00190, section 4.

    keys are [P_K; W_K x] and values [P_V; W_V x] in every layer        P: (tokens, d_out)

On every key and value projection. Deviations: P trains as it is, without the paper's network that makes it while
training; and P_K stands before the rotation of positions (0 to tokens - 1), so that it is the key that PEFT stores,
turned back by its own position: the same family of prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host
from rankwise.adapters.parametrizations.virtual import Virtual

STD = 0.02


@dataclass(frozen=True)
class Prefix(Virtual):
    """Trained keys and values in front of every layer's own."""

    name: ClassVar[str] = "prefix"
    lookup: ClassVar[bool] = False
    rate: ClassVar[float] = 3.0

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw P from N(0, 0.02^2)."""
        return {"P": host.normal(generator, STD, self.tokens, host.size[0])}

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return f"[P; W0 x], P {self.tokens} trained rows"
