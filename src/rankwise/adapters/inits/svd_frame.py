"""The singular vectors of W0 on both sides, for a core that trains between them: LoRA-XS, Bałazy et al., 2024,
arXiv 2405.17604, section 3.

W0 = U S V^T. ``form="code"``: B = U_r, A = S_r V_r^T, as in the authors' repository; ``form="paper"``: B = U_r S_r,
A = V_r^T. The update is the same, the core's gradient is not: S rescales its rows or its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class SVDFrame(Init):
    """A and B from the top ``rank`` singular triples of W0 (exact SVD)."""

    name: ClassVar[str] = "svd-frame"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    rank_bounded: ClassVar[bool] = True
    form: Literal["code", "paper"] = "code"

    def __post_init__(self) -> None:
        if self.form not in ("code", "paper"):
            raise UsageError(f"form of init 'svd-frame' must be 'code' or 'paper', found {self.form!r}.")

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0; nothing is random."""
        U, S, Vh = torch.linalg.svd(W0, full_matrices=False)
        U, S, Vh = U[:, :rank], S[:rank], Vh[:rank]
        return {"A": S[:, None] * Vh, "B": U} if self.form == "code" else {"A": Vh, "B": U * S}
