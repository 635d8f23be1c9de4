"""The contract table: one row per (method, option worth a row). Every row inherits every shared check.

The oracle of a row is written from the paper's formula, in the textbook form and from W0 itself: it shares no
code with the adapters, and it does not read the frozen start that a base-editing init keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rankwise import methods
from rankwise.adapters import Adapter
from rankwise.adapters.inits import OLoRA
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.adapters.scalings import AlphaOverSqrtRank, Constant

Factors = Mapping[str, Tensor]  # A (rank, d_in), B (d_out, rank), and m for DoRA
Oracle = Callable[[Tensor, Factors], Tensor]  # W0 (d_out, d_in), factors -> delta


def product(s: float) -> Oracle:
    """s * sum over k of the outer product of B's column k and A's row k."""
    return lambda W0, f: s * torch.einsum("or,ri->oi", f["B"], f["A"])


def minus_qr(s: float, rank: int) -> Oracle:
    """OLoRA, algorithm 1: W0 - s Q_r R_r + s B A, seen from W0."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        Q, R = torch.linalg.qr(W0)
        return s * (f["B"] @ f["A"]) - s * (Q[:, :rank] @ R[:rank])

    return delta


def minus_best_approximation(s: float, rank: int) -> Oracle:
    """PiSSA, equation 4: W0 - [W0]_r + s B A, seen from W0 ([W0]_r does not depend on s)."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        values, vectors = torch.linalg.eigh(W0.T @ W0)
        top = vectors[:, values.argsort(descending=True)[:rank]]
        return s * (f["B"] @ f["A"]) - W0 @ top @ top.T

    return delta


def decomposed(direction: Oracle, dim: int) -> Oracle:
    """DoRA, equation 5: m V / |V| with V = W0 + direction, seen from W0; |V| along ``dim`` is a constant (4.3)."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        V = W0 + direction(W0, f)
        return f["m"].unsqueeze(dim) * V / V.square().sum(dim, keepdim=True).sqrt().detach() - W0

    return delta


@dataclass(frozen=True)
class Row:
    """One adapter and what the papers say about it.

    Attributes:
        oracle: dense scaled update from W0 and the factors.
        scale: s, as a number.
        identity: ``exact`` if the model is unchanged at the start to the last bit, ``rounding`` if B A = 0 only
            in exact arithmetic.
        first_movers: factors whose gradient is not zero at step 0.
        random: the start depends on the seed.
        rank_bounded: needs rank <= min(d_in, d_out).
        magnitude: the side that DoRA's m belongs to, "out" or "in"; its update has full rank.
        export_rank: rank of the factors on disk.
    """

    name: str
    adapter: Adapter
    oracle: Oracle
    scale: float
    identity: str = "exact"
    first_movers: frozenset[str] = frozenset({"B"})
    random: bool = True
    rank_bounded: bool = False
    edits_base: bool = False
    magnitude: str | None = None

    @property
    def in_peft(self) -> bool:
        """PEFT has no magnitude per input."""
        return self.magnitude != "in"

    @property
    def rank(self) -> int:
        return self.adapter.rank

    @property
    def export_rank(self) -> int:
        return 2 * self.rank if self.edits_base else self.rank

    def count(self, d_out: int, d_in: int) -> int:
        """Trainable parameters of one layer: r (m + n) for every low-rank row, and DoRA's magnitudes."""
        return self.rank * (d_out + d_in) + {None: 0, "out": d_out, "in": d_in}[self.magnitude]

    def update_rank(self, d_out: int, d_in: int) -> int:
        """Rank of the update of one layer, once every factor has moved."""
        return min(d_out, d_in) if self.magnitude else min(self.export_rank, d_out, d_in)


BOTH = frozenset({"A", "B"})
EDITED = {"first_movers": BOTH, "random": False, "rank_bounded": True, "edits_base": True}
DORA = {"first_movers": frozenset({"B", "m"}), "magnitude": "out"}
ROOT4 = math.sqrt(4)

ROWS = (
    Row("lora", methods.lora(4, alpha=8), product(2.0), 2.0),
    Row("lora-rank-1", methods.lora(1, alpha=8), product(8.0), 8.0),
    Row("lora-rank-above-d", methods.lora(40, alpha=20), product(0.5), 0.5),
    Row("lora-gaussian", methods.lora(4, alpha=8, init="gaussian"), product(2.0), 2.0),
    Row(
        "lora-orthogonal",
        methods.lora(4, alpha=8, init="orthogonal"),
        product(2.0),
        2.0,
        identity="rounding",
        first_movers=BOTH,
        rank_bounded=True,
    ),
    Row("lora-dropout", methods.lora(4, alpha=8, dropout=0.3), product(2.0), 2.0),
    Row("lora-constant", replace(methods.lora(4, alpha=0.75), scaling=Constant()), product(0.75), 0.75),
    Row("rslora", methods.rslora(4, alpha=8), product(8 / ROOT4), 4.0),
    Row("rslora-rank-3", methods.rslora(3, alpha=5), product(5 / math.sqrt(3)), 5 / math.sqrt(3)),
    Row("olora", methods.olora(4), minus_qr(1.0, 4), 1.0, **EDITED),
    Row("olora-alpha", methods.olora(3, alpha=6), minus_qr(2.0, 3), 2.0, **EDITED),
    Row(
        "olora-rs",
        Adapter(rank=3, alpha=6, init=OLoRA(), scaling=AlphaOverSqrtRank()),
        minus_qr(6 / math.sqrt(3), 3),
        6 / math.sqrt(3),
        **EDITED,
    ),
    Row("pissa", methods.pissa(4), minus_best_approximation(1.0, 4), 1.0, **EDITED),
    Row("pissa-alpha", methods.pissa(3, alpha=1.5), minus_best_approximation(0.5, 3), 0.5, **EDITED),
    Row("dora", methods.dora(4, alpha=8), decomposed(product(2.0), dim=1), 2.0, **DORA),
    Row("dora-dropout", methods.dora(3, alpha=3, dropout=0.3), decomposed(product(1.0), dim=1), 1.0, **DORA),
    Row(
        "dora-in",
        methods.dora(4, alpha=8, axis="in"),
        decomposed(product(2.0), dim=0),
        2.0,
        **{**DORA, "magnitude": "in"},
    ),
    Row(
        "dora-pissa",
        replace(methods.pissa(3, alpha=6), parametrization=WeightDecomposed()),
        decomposed(minus_best_approximation(2.0, 3), dim=1),
        2.0,
        **{**EDITED, "first_movers": BOTH | {"m"}, "magnitude": "out"},
    ),
    Row("lora-plus", methods.lora_plus(4, alpha=8, ratio=4), product(2.0), 2.0),
)
