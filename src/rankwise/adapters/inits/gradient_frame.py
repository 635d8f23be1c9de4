"""The leading singular vectors of the weight's gradient, for training between them: compressed Deep LoRA, Yaras et al.,
2024, arXiv 2406.04112, section 4.

    G = U S V^T,  A = V_r^T,  B = U_r          G: the gradient of W0 on a few batches

The first step of full fine-tuning changes W0 along G, and the deep product that starts small stays near the subspaces
of that step; so the rest of it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.calibration import Statistics
from rankwise.adapters.inits.base import DataInit, Start


@dataclass(frozen=True)
class GradientFrame(DataInit):
    """A and B orthonormal, from the gradient."""

    name: ClassVar[str] = "gradient-frame"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    rank_bounded: ClassVar[bool] = True
    needs_data: ClassVar[Literal["", "inputs", "gradients"]] = "gradients"

    def start_from(self, found: Statistics, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize the gradient; nothing is random."""
        U, _, Vh = torch.linalg.svd(found.mean_gradient().to(W0.dtype), full_matrices=False)
        return {"A": Vh[:rank], "B": U[:, :rank]}
