"""Prompt tuning: The Power of Scale for Parameter-Efficient Prompt Tuning, Lester et al., 2021, arXiv 2104.08691,
section 2.

    the input is  [P; embedded tokens]        P: (tokens, width)

On the table of input embeddings. P starts at the embeddings of tokens drawn from the vocabulary, one of the paper's
ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host
from rankwise.adapters.parametrizations.virtual import Virtual
from rankwise.errors import UsageError


@dataclass(frozen=True)
class SoftPrompt(Virtual):
    """Trained embeddings in front of the input."""

    name: ClassVar[str] = "soft-prompt"
    rate: ClassVar[float] = 3.0
    only_tables: ClassVar[bool] = True

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Need a vocabulary to start from."""
        if d_in < self.tokens:
            raise UsageError(f"'soft-prompt' starts from {self.tokens} tokens, but {module} has {d_in}; use fewer.")

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw tokens, without repetition, and take their embeddings."""
        table = host.W0.T
        drawn = torch.randperm(len(table), generator=generator)[: self.tokens].to(table.device)
        return {"P": table[drawn].to(host.zeros(0).dtype)}

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return f"[P; W0 x], P {self.tokens} trained rows"
