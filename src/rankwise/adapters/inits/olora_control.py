"""Controls for OLoRA (arXiv 2406.01775): its start without W's directions, and then without its spectrum too.

OLoRA starts from Q_r R_r of W0 = Q R. These start from two random orthonormal frames (B0, P) instead:

    keep="spectrum"   A0 = diag(sigma) P^T, sigma the singular values of Q_r R_r: the start's, no direction of W
    keep="norm"       A0 = |sigma| / sqrt(r) P^T: orthonormality and loudness alone

Sigma is no subset of W0's singular values. An experiment's control, not a published method. If one of them trains as
well as OLoRA, the QR of W is not the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class OLoRAControl(Init):
    """Random orthonormal frames with the spectrum (``keep="spectrum"``) or only the norm of OLoRA's start."""

    name: ClassVar[str] = "olora-control"
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True
    keep: Literal["norm", "spectrum"] = "norm"

    def __post_init__(self) -> None:
        if self.keep not in ("norm", "spectrum"):
            raise UsageError(f"keep of 'olora-control' must be 'norm' or 'spectrum', found {self.keep!r}.")

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Draw both frames."""
        d_out, d_in = W0.shape
        sigma = torch.linalg.svdvals(torch.linalg.qr(W0, mode="reduced").R[:rank])
        if self.keep == "norm":
            sigma = torch.full_like(sigma, float(torch.linalg.vector_norm(sigma)) / rank**0.5)
        B, P = (
            torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=W0.dtype)).Q.contiguous()
            for n in (d_out, d_in)
        )
        return {"A": (sigma[:, None] * P.T).contiguous(), "B": B}
