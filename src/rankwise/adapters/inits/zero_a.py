"""Zero A, random B: Init[B] of The Impact of Initialization on LoRA Finetuning Dynamics, Hayou et al., 2024, arXiv
2406.08447. Init[A] is init 'kaiming' (random A, zero B).

The paper finds that Init[A] bears larger learning rates and learns better; Init[B] is more stable inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class ZeroA(Init):
    """A = 0, B ~ U(-1, 1) / sqrt(rank): entries of variance 1 / (3 rank)."""

    name: ClassVar[str] = "zero-a"
    zero: ClassVar[Literal["A", "B", "product", ""]] = "A"

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw B."""
        d_out, d_in = W0.shape
        B = 2 * torch.rand(d_out, rank, generator=generator, dtype=W0.dtype) - 1
        return {"A": W0.new_zeros(rank, d_in), "B": B / rank**0.5}
