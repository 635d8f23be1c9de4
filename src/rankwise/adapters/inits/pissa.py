"""PiSSA: Principal Singular Values and Singular Vectors Adaptation, Meng et al., 2024, arXiv 2404.02948.

Equations 2-4: W0 = U S V^T; A0 = sqrt(S_r / s) V_r^T, B0 = U_r sqrt(S_r / s), so s B0 A0 is the best
rank-r approximation of W0, and training starts from the residual W0 - s B0 A0 plus the trainable B A.

Deviations from the paper: W0 is not edited; the start is a frozen offset (docs/design/methods.md#the-frozen-start).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class PiSSA(Init):
    """A0 and B0 from the top ``rank`` singular triples of W0 (exact SVD)."""

    name: ClassVar[str] = "pissa"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0; nothing is random."""
        U, S, Vh = torch.linalg.svd(W0, full_matrices=False)
        root = (S[:rank] / scaling).sqrt()
        return {"A": root[:, None] * Vh[:rank], "B": U[:, :rank] * root}
