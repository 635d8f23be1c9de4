"""OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models, Büyükakyüz, 2024, arXiv 2406.01775.

Algorithm 1: reduced QR of W0 = Q R; B0 = Q[:, :rank], A0 = R[:rank, :], and training starts from
W0 - s B0 A0 with the trainable B A on top, so B starts with orthonormal columns.

Deviations from the paper: W0 is not edited; the start is a frozen offset (docs/design/methods.md#the-frozen-start).
Not claimed here: that the singular values of Q_r R_r are a subset of W0's (false in general).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start


@dataclass(frozen=True)
class OLoRA(Init):
    """B0 = the first columns of Q, A0 = the first rows of R, where W0 = Q R."""

    name: ClassVar[str] = "olora"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0; nothing is random."""
        Q, R = torch.linalg.qr(W0, mode="reduced")
        return {"A": R[:rank].contiguous(), "B": Q[:, :rank].contiguous()}
