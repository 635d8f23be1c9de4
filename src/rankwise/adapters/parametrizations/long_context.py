"""LoRA on attention beside trained normalizations and input embeddings: LongLoRA, Chen et al., 2023, arXiv 2309.12307,
section 3.3: low rank alone did not reach full fine-tuning on long inputs.

    queries, keys, values, outputs    W = W0 + s B A             A: (rank, d_in), B: (d_out, rank)
    normalizations                    y = (W0 + w) n + bias + b  w, b: (width,)
    input embeddings                  E = E0 + D^T               D: (width, vocabulary)

What trains of gains and embeddings is the difference from the base's values. With tied embeddings the output head keeps
the base's table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.adapters.parametrizations.composite import Composite, OwnLowRank
from rankwise.adapters.parametrizations.norm_tuning import NormTuning
from rankwise.adapters.parametrizations.whole_matrix import WholeMatrix
from rankwise.models.structure import ATTENTION_OUTPUT, QUERY_KEY_VALUE

_TABLE = re.compile(r"(^|\.)(\w*embed\w*|wte|shared)$")
_ATTENTION, _NORMS, _EMBEDDINGS = "q, k, v, o", "norms", "embeddings"


@dataclass(frozen=True)
class Table(WholeMatrix):
    """A whole table as a part: LoRA's scale is not its."""

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return the looked-up rows of D^T."""
        return super().update(x, factors, start, drop, replace(host, scaling=1.0))

    def multiplied(self, shapes: Shapes) -> int:
        """None: a row is looked up."""
        return 0

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return D."""
        return factors["D"]


@dataclass(frozen=True)
class LongContext(Composite):
    """LoRA, gains and biases of normalizations, the table of input embeddings."""

    name: ClassVar[str] = "long-context"
    kind: ClassVar[Literal["overlay"]] = "overlay"

    def parts(self) -> Mapping[str, Parametrization]:
        """Return the three."""
        return {_ATTENTION: OwnLowRank(), _NORMS: NormTuning(), _EMBEDDINGS: Table()}

    def place(self, module: str) -> str:
        """Tell by the module's own name; what is neither attention's nor a table must be a normalization."""
        if QUERY_KEY_VALUE.search(module) or ATTENTION_OUTPUT.search(module):
            return _ATTENTION
        return _EMBEDDINGS if _TABLE.search(module) else _NORMS

    def described_shapes(self) -> dict[str, str]:
        """Return them in words: not every normalization has a bias."""
        return {
            f"{_ATTENTION}: A": "(r, d_in)",
            f"{_ATTENTION}: B": "(d_out, r)",
            f"{_NORMS}: w": "(width,)",
            f"{_NORMS}: b": "(width,), where there is a bias",
            f"{_EMBEDDINGS}: D": "(width, vocabulary)",
        }

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the three as text."""
        return f"(W0 + {scale} B A) x on q, k, v, o; (W0 + w) n + bias + b on norms; W0 + D on the input embeddings"
