"""Riemannian preconditioned LoRA: Zhang and Pilanci, 2024, arXiv 2402.02347, equation 2 (scaled AdamW).

    g_A <- (B^T B + delta I)^-1 g_A,      g_B <- g_B (A A^T + delta I)^-1         then AdamW

The gradients are measured in a metric in which the step of B A does not depend on how it is split into B and A: under
B -> B M, A -> M^-1 A the change of B A stays (for plain gradient steps, and delta = 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.optimizers.adamw import AdamW
from rankwise.errors import UsageError


def by_gram(gradient: Tensor, gram: Tensor, ridge: float) -> Tensor:
    """Return (gram + ridge I)^-1 gradient; gram: (rank, rank), gradient: (rank, n)."""
    return torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), gradient)


@dataclass(frozen=True)
class Riemannian(AdamW):
    """AdamW on gradients in the metric of the other factor."""

    name: ClassVar[str] = "riemannian"
    preconditions: ClassVar[bool] = True
    delta: float = 1e-6

    def __post_init__(self) -> None:
        number = isinstance(self.delta, (int, float)) and not isinstance(self.delta, bool)
        if not number or not 0 < self.delta < float("inf"):
            raise UsageError(
                f"delta must be a positive number (it keeps B^T B + delta I invertible), found {self.delta!r}."
            )
        object.__setattr__(self, "delta", float(self.delta))

    def check(self, shapes: Mapping[str, tuple[int, ...]], trained: Mapping[str, tuple[int, ...]]) -> str:
        """A and B must train."""
        return "" if {"A", "B"} <= set(trained) else "needs factors A and B that both train"

    def precondition(
        self, factors: Mapping[str, Tensor], gradients: Mapping[str, Tensor], scaling: float
    ) -> Mapping[str, Tensor]:
        """Solve for both factors, each with the other's Gram matrix."""
        A, B, found = factors["A"], factors["B"], dict(gradients)
        if "A" in found:
            found["A"] = by_gram(found["A"], B.T @ B, self.delta)
        if "B" in found:
            found["B"] = by_gram(found["B"].T, A @ A.T, self.delta).T
        return found

    def describe(self) -> str:
        """Return ``gradients preconditioned by the other factor``."""
        return "gradients preconditioned by the other factor"
