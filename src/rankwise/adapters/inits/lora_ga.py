"""LoRA-GA: Low-Rank Adaptation with Gradient Approximation, Wang et al., 2024, arXiv 2407.05000, algorithm 1.

With the SVD G = U S V^T of the weight's gradient on a few batches, A0 and B0 are singular vectors of G, so that the
first step of B A follows the first step of full fine-tuning. Directions, as in PEFT: "ArB2r" (A: the first ``rank``
right vectors, B: the second ``rank`` left vectors), "A2rBr", "ArBr" (A: odd, B: even ones) and "random". The stable
scale multiplies B by d_out^(1/4) / gamma^(1/2).

Deviations: W0 is not edited; the start is a frozen offset (docs/design/methods.md#the-frozen-start). B is U alone, our
choice; PEFT's implementation also multiplies by the singular values, which ``singular_values=True`` gives. The SVD is
exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.calibration import Statistics
from rankwise.adapters.inits.base import DataInit, Start
from rankwise.errors import UsageError

DIRECTIONS = ("ArB2r", "A2rBr", "ArBr", "random")


@dataclass(frozen=True)
class LoRAGA(DataInit):
    """A0 and B0 from the singular vectors of the gradient."""

    name: ClassVar[str] = "lora-ga"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True
    needs_data: ClassVar[Literal["", "inputs", "gradients"]] = "gradients"
    direction: Literal["ArB2r", "A2rBr", "ArBr", "random"] = "ArB2r"
    gamma: float = 16.0
    singular_values: bool = False

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise UsageError(
                f"direction of init 'lora-ga' must be one of {', '.join(DIRECTIONS)}, found {self.direction!r}."
            )
        number = isinstance(self.gamma, (int, float)) and not isinstance(self.gamma, bool)
        if not number or not 0 < self.gamma < float("inf"):
            raise UsageError(f"gamma of init 'lora-ga' must be a positive number, found {self.gamma!r}.")
        object.__setattr__(self, "gamma", float(self.gamma))

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Two sets of ``rank`` singular vectors must exist."""
        super().check(rank, d_out, d_in, module)
        if 2 * rank > min(d_in, d_out):
            raise UsageError(
                f"init 'lora-ga' takes 2 x rank singular vectors, but rank is {rank} and {module} is {d_out} x {d_in}; "
                f"use rank <= {min(d_in, d_out) // 2}, another placement, or init 'kaiming'."
            )

    def start_from(self, found: Statistics, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize the gradient; only direction "random" is random."""
        U, S, Vh = torch.linalg.svd(found.mean_gradient().to(W0.dtype), full_matrices=False)
        low, high = torch.arange(rank), torch.arange(rank, 2 * rank)
        if self.direction == "random":
            low = high = torch.randperm(2 * rank, generator=generator)[:rank]
        of_A, of_B = {
            "ArB2r": (low, high),
            "A2rBr": (high, low),
            "ArBr": (2 * low + 1, 2 * low),
            "random": (low, high),
        }[self.direction]
        B = U[:, of_B] * (S[of_B] if self.singular_values else 1)
        return {"A": Vh[of_A], "B": B * (len(W0) ** 0.25 / self.gamma**0.5)}
