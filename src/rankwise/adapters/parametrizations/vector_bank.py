"""Factors put together from one bank of vectors: VB-LoRA, Li et al., 2024, arXiv 2405.15179, section 3.

    W = W0 + B @ A
    every piece of ``length`` numbers of a row of A or a column of B  =  sum over its k best vectors of softmax(logit) V

V: (vectors, length) is one bank for all layers; every piece has a logit for each vector and takes the ``topk`` largest.
V ~ U(-0.02, 0.02), logits ~ N(0, 0.1^2), as PEFT has it: a small update, not zero, at the start. No scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes, check_divides, check_whole
from rankwise.adapters.parametrizations.pair import Pair
from rankwise.errors import UsageError

BOUND, STD = 0.02, 0.1


@dataclass(frozen=True)
class VectorBank(Pair):
    """B A from a shared bank."""

    name: ClassVar[str] = "vector-bank"
    needs: ClassVar[frozenset[str]] = frozenset()
    vectors: int = 256
    length: int = 64
    topk: int = 2

    def __post_init__(self) -> None:
        check_whole(self, vectors=self.vectors, length=self.length, topk=self.topk)
        if self.topk > self.vectors:
            raise UsageError(f"topk of 'vector-bank' must be at most vectors ({self.vectors}), found {self.topk}.")

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer whose sides are no whole number of vectors."""
        check_divides(self, "length", self.length, module, d_in=d_in, d_out=d_out)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """A logit for every vector and piece."""
        pieces_A, pieces_B = d_in // self.length, d_out // self.length
        return {"logits_A": (rank, pieces_A, self.vectors), "logits_B": (pieces_B, rank, self.vectors)}

    def trains_shared(self, name: str) -> bool:
        """The bank."""
        return True

    def shared_shapes(self, layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
        """One bank."""
        return {"bank": (self.vectors, self.length)}

    def share(
        self, layers: Sequence[tuple[int, int]], rank: int, dtype: torch.dtype, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the bank."""
        unit = torch.rand(self.vectors, self.length, generator=generator, dtype=dtype)
        return {"bank": (2 * unit - 1) * BOUND}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the logits."""
        shapes = self.shapes(*host.size, rank)
        return {name: host.normal(generator, STD, *shape) for name, shape in shapes.items()}

    def described_shapes(self) -> dict[str, str]:
        """Return them with the pieces by name."""
        h, b = self.vectors, self.length
        logits = {"logits_A": f"(r, d_in/{b}, {h})", "logits_B": f"(d_out/{b}, r, {h})"}
        return {**logits, "bank": f"({h}, {b}), shared by all layers"}

    def pair(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Return A (rank, d_in) and B (d_out, rank)."""
        A, B = (self._mixed(factors[name], factors["bank"]) for name in ("logits_A", "logits_B"))
        return A.flatten(1), B.transpose(1, 2).flatten(0, 1)

    def _mixed(self, logits: Tensor, bank: Tensor) -> Tensor:
        best, where = logits.topk(self.topk, dim=-1)
        return (best.softmax(-1)[..., None] * bank[where]).sum(-2)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``1 B A, pieces of 64 from a bank of 256``."""
        return f"{scale} B A, pieces of {self.length} from a bank of {self.vectors}"
