"""Both factors normal with one standard deviation, for updates that a third factor keeps at zero.

AdaLoRA (Zhang et al., 2023, arXiv 2303.10512) and FLoRA's core space (2405.14739) start so, with 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Normal(Init):
    """A and B ~ N(0, std^2)."""

    name: ClassVar[str] = "normal"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    std: float = 0.02

    def __post_init__(self) -> None:
        if isinstance(self.std, bool) or not isinstance(self.std, (int, float)) or not 0 < self.std < float("inf"):
            raise UsageError(f"std of init 'normal' must be a positive number, found {self.std!r}.")
        object.__setattr__(self, "std", float(self.std))

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw A, then B."""
        d_out, d_in = W0.shape
        A = self.std * torch.randn(rank, d_in, generator=generator, dtype=W0.dtype)
        return {"A": A, "B": self.std * torch.randn(d_out, rank, generator=generator, dtype=W0.dtype)}
