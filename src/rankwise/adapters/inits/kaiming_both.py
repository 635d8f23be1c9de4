"""Both factors Kaiming-uniform, for updates that a third factor keeps at zero: TriLoRA (Feng et al., 2024, arXiv
2405.11236), AFLoRA (Liu et al., 2024, 2403.13269) and DoRA with dynamic rank (Mao et al., 2024, 2405.17357).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class KaimingBoth(Init):
    """A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)), B ~ U(-1/sqrt(rank), 1/sqrt(rank))."""

    name: ClassVar[str] = "kaiming-both"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A, then B."""
        d_out, d_in = W0.shape
        A = 2 * torch.rand(rank, d_in, generator=generator, dtype=W0.dtype) - 1
        B = 2 * torch.rand(d_out, rank, generator=generator, dtype=W0.dtype) - 1
        return {"A": A / d_in**0.5, "B": B / rank**0.5}
