"""The corrected gradient of LoRA-FA, Zhang et al., 2023, arXiv 2308.03303 (third version), for a frozen A:

    g_B <- (1 / s^2) g_B (A A^T + delta I)^-1         then AdamW

With g_B = s G A^T this makes the change of the weight, s g_B A, the projection of the full gradient G on the row space
of A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rankwise.adapters.optimizers.adamw import AdamW
from rankwise.adapters.optimizers.riemannian import by_gram

RIDGE = 1e-8


@dataclass(frozen=True)
class ProjectedB(AdamW):
    """AdamW on the gradient of B that projects the full gradient."""

    name: ClassVar[str] = "lora-fa"
    preconditions: ClassVar[bool] = True

    def check(self, shapes: Mapping[str, tuple[int, ...]], trained: Mapping[str, tuple[int, ...]]) -> str:
        """B trains beside a frozen A."""
        fits = "A" in shapes and set(trained) == {"B"}
        return "" if fits else "is for a B that trains alone beside a frozen A; use freezing Only(('B',))"

    def precondition(
        self, factors: Mapping[str, Tensor], gradients: Mapping[str, Tensor], scaling: float
    ) -> Mapping[str, Tensor]:
        """Solve with A's Gram matrix."""
        A = factors["A"]
        return {name: by_gram(g.T, A @ A.T, RIDGE).T / scaling**2 for name, g in gradients.items()}

    def describe(self) -> str:
        """Return ``gradient of B corrected by A``."""
        return "gradient of B corrected by A"
