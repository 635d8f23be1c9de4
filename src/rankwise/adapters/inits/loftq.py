"""LoftQ: LoRA-Fine-Tuning-Aware Quantization, Li et al., 2023, arXiv 2310.08659, algorithm 1.

From L_0 = 0, ``steps`` times: Q_t = what the storage makes of W0 - L_{t-1}, L_t = [W0 - Q_t]_r. The base is Q_T, kept
in codes; s B0 A0 = L_T with the singular values shared evenly. Nothing is subtracted: the model starts nearer to the
unquantized one than rounding W0 would leave it.

Deviations: factors are divided by s, so that any alpha gives the same start (PEFT's implementation assumes s = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.inits.base import QuantizedInit, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class LoftQ(QuantizedInit):
    """Alternates between quantizing and the best low-rank correction, ``steps`` times."""

    name: ClassVar[str] = "loftq"
    rank_bounded: ClassVar[bool] = True
    steps: int = 5

    def __post_init__(self) -> None:
        check_steps(self.name, self.steps)

    def start_beside(
        self, round_trip: Callable[[Tensor], Tensor], W0: Tensor, rank: int, scaling: float
    ) -> tuple[Start, Tensor]:
        """Return the correction's factors and the matrix whose codes are the base."""
        start: Start = {}
        to_store = W0
        for _ in range(self.steps):
            base = to_store
            start, low = best(W0 - round_trip(base), rank, scaling)
            to_store = W0 - low
        return start, base


def best(M: Tensor, rank: int, scaling: float) -> tuple[Start, Tensor]:
    """Return factors of the best rank-``rank`` approximation of ``M`` divided by s, and the approximation."""
    U, S, Vh = torch.linalg.svd(M, full_matrices=False)
    root = (S[:rank] / scaling).sqrt()
    A, B = root[:, None] * Vh[:rank], U[:, :rank] * root
    return {"A": A, "B": B}, scaling * (B @ A)


def check_steps(name: str, steps: object) -> None:
    """Refuse a number of steps that is not one."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(f"steps of init {name!r} must be a whole number of at least 1, found {steps!r}.")
