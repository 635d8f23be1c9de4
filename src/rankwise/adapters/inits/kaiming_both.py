"""Both factors as torch starts a linear layer, for updates that a third factor keeps at zero.

DoRA (dynamic rank distribution), Mao et al., 2024, arXiv 2405.17357: A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)) and
B ~ U(-1/sqrt(rank), 1/sqrt(rank)), which is kaiming_uniform with a = sqrt(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class KaimingBoth(Init):
    """A and B uniform, by their inputs."""

    name: ClassVar[str] = "kaiming-both"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A, then B."""
        d_out, d_in = W0.shape

        def draw(rows: int, columns: int) -> Tensor:
            uniform = torch.rand(rows, columns, generator=generator, dtype=W0.dtype)
            return (2 * uniform - 1) / columns**0.5

        return {"A": draw(rank, d_in), "B": draw(d_out, rank)}
