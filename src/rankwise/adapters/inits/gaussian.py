"""Gaussian A with standard deviation 1/rank, zero B: PEFT's ``init_lora_weights="gaussian"``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class Gaussian(Init):
    """A ~ N(0, 1/rank^2), B = 0."""

    name: ClassVar[str] = "gaussian"

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A; B is zero, so the model is unchanged at the start."""
        d_out, d_in = W0.shape
        A = torch.randn(rank, d_in, generator=generator, dtype=W0.dtype) / rank
        return {"A": A, "B": W0.new_zeros(d_out, rank)}
