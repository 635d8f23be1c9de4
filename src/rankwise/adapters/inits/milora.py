"""MiLoRA: Harnessing Minor Singular Components for Parameter-Efficient LLM Finetuning, Wang et al., 2024, arXiv
2406.09044, equations 5-7.

As PiSSA with a window of singular triples of W0 = U S V^T: A0 = sqrt(S_w / s) V_w^T, B0 = U_w sqrt(S_w / s). The
paper takes the ``rank`` smallest ("min"); the authors' code also offers the largest ("max", which is PiSSA), the
middle ("mid") and random ones ("random").

Deviations from the paper: W0 is not edited; the start is a frozen offset (docs/design/methods.md#the-frozen-start).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.inits.base import Init, Start
from rankwise.errors import UsageError

WINDOWS = ("min", "max", "mid", "random")


@dataclass(frozen=True)
class MiLoRA(Init):
    """A0 and B0 from ``rank`` singular triples of W0 (exact SVD)."""

    name: ClassVar[str] = "milora"
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""
    edits_base: ClassVar[bool] = True
    rank_bounded: ClassVar[bool] = True
    window: Literal["min", "max", "mid", "random"] = "min"

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise UsageError(f"window of init 'milora' must be one of {', '.join(WINDOWS)}, found {self.window!r}.")

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Factorize W0; only a random window is random."""
        U, S, Vh = torch.linalg.svd(W0, full_matrices=False)
        chosen = self._chosen(len(S), rank, generator)
        root = (S[chosen] / scaling).sqrt()
        return {"A": root[:, None] * Vh[chosen], "B": U[:, chosen] * root}

    def _chosen(self, count: int, rank: int, generator: torch.Generator) -> Tensor:
        """Return indices into the singular values, which fall."""
        if self.window == "random":
            return torch.randperm(count, generator=generator)[:rank].sort().values
        first = {"max": 0, "mid": (count - rank) // 2, "min": count - rank}[self.window]
        return torch.arange(first, first + rank)
