"""CorDA: Context-Oriented Decomposition Adaptation of Large Language Models, Yang et al., 2024, arXiv 2406.05223,
section 3.

C is the sum of x x^T over a layer's inputs on sample data (each batch divided by its largest magnitude, as in the
authors' code), made invertible by C~ = C + d mean(diag C) I with the smallest of d = 0.01, 0.02, 0.04, ... for which
C~ C~^-1 is within 0.05 of I. With the SVD of W0 C~ = U S V^T, W0 = U S (V^T C~^-1) exactly, and

    B0 = U_k sqrt(S_k / s),  A0 = sqrt(S_k / s) (V^T C~^-1)_k

where k is the first ``rank`` components ("ipm", instruction-previewed: data of the new task) or the last ("kpm",
knowledge-preserved: data whose answers are to be kept).

Deviations: W0 is not edited; the start is a frozen offset (docs/design/methods.md#the-frozen-start). C is the mean over
rows, not over batches, so that its scale does not depend on how the data are cut; the decomposition does not see the
scale of C.
PEFT divides by |max(x)|, not max(|x|): another C wherever the largest magnitude in a batch is a negative number's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.calibration import Statistics
from rankwise.adapters.inits.base import DataInit, Start
from rankwise.errors import UsageError


@dataclass(frozen=True)
class CorDA(DataInit):
    """A0 and B0 from the components of W0 that the data use most ("ipm") or least ("kpm")."""

    name: ClassVar[str] = "corda"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True
    normalizes: ClassVar[bool] = True
    mode: Literal["ipm", "kpm"] = "ipm"

    def __post_init__(self) -> None:
        if self.mode not in ("ipm", "kpm"):
            raise UsageError(f"mode of init 'corda' must be 'ipm' or 'kpm', found {self.mode!r}.")

    def start_from(self, found: Statistics, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Decompose W0 in the directions of the data; nothing is random."""
        C = found.second_moment().to(W0.dtype) / found.count
        C, inverse = _invertible(C)
        U, S, Vh = torch.linalg.svd(W0 @ C, full_matrices=False)
        k = slice(0, rank) if self.mode == "ipm" else slice(len(S) - rank, len(S))
        root = (S[k] / scaling).sqrt()
        return {"A": root[:, None] * (Vh[k] @ inverse), "B": U[:, k] * root}


def _invertible(C: Tensor) -> tuple[Tensor, Tensor]:
    """Return C with as much added to its diagonal as makes it invertible, and its inverse."""
    one = torch.eye(len(C), dtype=C.dtype)
    level = C.diagonal().mean()
    if not level > 0:
        raise UsageError("init 'corda': the data leave the inputs of a layer at zero; give other data.")
    damping = 0.01
    while True:
        damped = C + damping * level * one
        inverse = torch.linalg.inv(damped)
        if torch.dist(damped @ inverse, one) < 0.05:
            return damped, inverse
        damping *= 2
