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
from rankwise.adapters.events import ShiftedAttention
from rankwise.adapters.inits import Normal, OLoRA
from rankwise.adapters.parametrizations import Core, WeightDecomposed
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


def with_diagonal(s: float) -> Oracle:
    """AdaLoRA, equation 3: s * sum over k of e_k times the outer product of B's column k and A's row k."""
    return lambda W0, f: s * torch.einsum("or,r,ri->oi", f["B"], f["e"], f["A"])


def with_core(s: float, rank: int) -> Oracle:
    """LoRA-XS: s U_r C S_r V_r^T, with the frame taken from W0 by its eigenvectors (up to their common signs)."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        values, vectors = torch.linalg.eigh(W0.T @ W0)
        V = vectors[:, values.argsort(descending=True)[:rank]]
        V = V * (V * f["A"].T).sum(0).sign()  # a singular pair has one sign to choose
        U = W0 @ V / (W0 @ V).norm(dim=0)
        return s * U @ f["C"] @ (W0 @ V).norm(dim=0).diag() @ V.T

    return delta


def with_trained_core(s: float) -> Oracle:
    """FLoRA for matrices: s B C A."""
    return lambda W0, f: s * torch.einsum("or,rq,qi->oi", f["B"], f["C"], f["A"])


def with_vectors(W0: Tensor, f: Factors) -> Tensor:
    """VeRA, equation 2: diag(b) B diag(d) A."""
    return f["b"].diag() @ f["B"] @ f["d"].diag() @ f["A"]


def minus_window(s: float, rank: int, first: int | None) -> Oracle:
    """MiLoRA: as PiSSA, with the ``rank`` smallest triples (or those from ``first`` on)."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        U, S, Vh = torch.linalg.svd(W0, full_matrices=False)
        at = len(S) - rank if first is None else first
        part = sum(S[k] * torch.outer(U[:, k], Vh[k]) for k in range(at, at + rank))
        return s * (f["B"] @ f["A"]) - part

    return delta


def minus_start(s: float) -> Oracle:
    """CorDA, LoRA-GA: W0 - s B0 A0 + s B A, seen from W0. What B0 and A0 are is tested in adapters/test_data_inits."""
    return lambda W0, f: s * (f["B"] @ f["A"] - f["B0"] @ f["A0"])


def rescaled_outputs(W0: Tensor, f: Factors) -> Tensor:
    """(IA)3 on keys and values: diag(l) W0, seen from W0."""
    return f["l"].diag() @ W0 - W0


def rescaled_inputs(W0: Tensor, f: Factors) -> Tensor:
    """(IA)3 inside the feed-forward block: W0 diag(l), seen from W0."""
    return W0 @ f["l"].diag() - W0


@dataclass(frozen=True)
class Row:
    """One adapter and what the papers say about it.

    Attributes:
        oracle: dense scaled update from W0 and the factors.
        scale: s, as a number.
        identity: ``exact`` if the model is unchanged at the start to the last bit, ``rounding`` if B A = 0 only
            in exact arithmetic, ``near`` if the paper's start is tiny but not zero.
        first_movers: factors whose gradient is not zero at step 0.
        random: the start depends on the seed.
        rank_bounded: needs rank <= min(d_in, d_out).
        magnitude: the side that DoRA's m belongs to, "out" or "in"; its update has full rank.
        export_rank: rank of the factors on disk.
        counts: trainable parameters of one layer from (d_out, d_in, rank), when they are not LoRA's.
        updates: rank of the update of one layer from (d_out, d_in), when it is not the factors'.
        shared: trainable parameters that all layers share, from their (d_out, d_in) and the rank.
        bias: what the adapter adds to the bias, from the bias and the factors.
        data: the start looks at data, so at other modules' weights too.
        thin: rank of its plain factors where it is not the usual one; None when it has none.
        bases: the tiny models it can sit on.
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
    counts: Callable[[int, int, int], int] | None = None
    updates: Callable[[int, int], int] | None = None
    shared: Callable[[list[tuple[int, int]], int], int] | None = None
    bias: Callable[[Tensor, Factors], Tensor] | None = None
    data: bool = False
    thin: int | None = 0
    bases: tuple[str, ...] = ("sequential", "llama", "gpt2")

    @property
    def in_peft(self) -> bool:
        """PEFT's LoRA layout holds it (PEFT has no magnitude per input)."""
        return self.low_rank and self.magnitude != "in"

    @property
    def low_rank(self) -> bool:
        """Its factors are A and B, perhaps with DoRA's magnitudes."""
        return (self.kind == "delta" and self.counts is None) or "frozen" in self.name

    @property
    def kind(self) -> str:
        return self.adapter.parametrization.kind

    @property
    def ranked(self) -> bool:
        return self.adapter.parametrization.ranked

    @property
    def rank(self) -> int:
        return self.adapter.rank

    @property
    def export_rank(self) -> int:
        return self.thin or (2 * self.rank if self.edits_base else self.rank)

    def count(self, d_out: int, d_in: int) -> int:
        """Trainable parameters of one layer: r (m + n) for every low-rank row, and DoRA's magnitudes."""
        if self.counts is not None:
            return self.counts(d_out, d_in, self.rank)
        return self.rank * (d_out + d_in) + {None: 0, "out": d_out, "in": d_in}[self.magnitude]

    def update_rank(self, d_out: int, d_in: int) -> int:
        """Rank of the update of one layer, once every factor has moved."""
        if self.updates is not None:
            return self.updates(d_out, d_in)
        return min(d_out, d_in) if self.magnitude else min(self.export_rank, d_out, d_in)


BOTH = frozenset({"A", "B"})
EDITED = {"first_movers": BOTH, "random": False, "rank_bounded": True, "edits_base": True}
SCALED = {"first_movers": frozenset({"l"}), "random": False}
DORA = {"first_movers": frozenset({"B", "m"}), "magnitude": "out"}
ROOT4 = math.sqrt(4)


def diagonal(name: str, adapter: Adapter, s: float, *, moves: str = "e", oracle: Oracle | None = None) -> Row:
    """A row of B diag(e) A, where ``moves`` has a gradient at step 0."""
    return Row(
        name,
        adapter,
        oracle or with_diagonal(s),
        s,
        first_movers=frozenset({moves}),
        counts=lambda m, n, r: r * (m + n) + r,
    )


def core(name: str, adapter: Adapter, s: float) -> Row:
    """A row of B C A, all three trained."""
    return Row(
        name,
        adapter,
        with_trained_core(s),
        s,
        first_movers=frozenset({"C"}),
        counts=lambda m, n, r: r * (m + n) + r * r,
    )


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
    Row("lora-fa-frozen-a", methods.lora_fa(4, alpha=8), product(2.0), 2.0, random=False, counts=lambda m, n, r: r * m),
    Row("milora", methods.milora(4), minus_window(1.0, 4, None), 1.0, **EDITED),
    Row("milora-max-alpha", methods.milora(3, 6, window="max"), minus_window(2.0, 3, 0), 2.0, **EDITED),
    Row("corda", methods.corda(4), minus_start(1.0), 1.0, **EDITED, data=True),
    Row("corda-kpm-alpha", methods.corda(3, 6, mode="kpm"), minus_start(2.0), 2.0, **EDITED, data=True),
    Row("lora-ga", methods.lora_ga(3, alpha=6), minus_start(2.0), 2.0, **EDITED, data=True),
    Row("eva", methods.eva(4, alpha=8, rho=1), product(2.0), 2.0, random=False, data=True),
    diagonal("adalora", methods.adalora(4, alpha=8), 8 / 4.00001),
    diagonal("adalora-dropout", methods.adalora(4, alpha=8, dropout=0.3), 8 / 4.00001),
    Row(
        "lora-xs",
        methods.lora_xs(4, alpha=8),
        with_core(2.0, 4),
        2.0,
        identity="near",
        first_movers=frozenset({"C"}),
        rank_bounded=True,
        counts=lambda m, n, r: r * r,
    ),
    core("core-trained", Adapter(rank=4, alpha=8, parametrization=Core(), init=Normal()), 2.0),
    Row(
        "vera",
        methods.vera(4),
        with_vectors,
        1.0,
        first_movers=frozenset({"b"}),
        random=False,
        counts=lambda m, n, r: r + m,
    ),
    Row(
        "ia3-out",
        methods.ia3("all-linear", side="out"),
        rescaled_outputs,
        1.0,
        bias=lambda bias, f: (f["l"] - 1) * bias,
        updates=min,
        **{**SCALED, "counts": lambda m, n, r: m},
    ),
    Row(
        "ia3-in",
        methods.ia3("all-linear", side="in"),
        rescaled_inputs,
        1.0,
        updates=min,
        **{**SCALED, "counts": lambda m, n, r: n},
    ),
    Row(
        "bitfit",
        methods.bitfit("all-linear"),
        lambda W0, f: torch.zeros_like(W0),
        1.0,
        bias=lambda bias, f: f["d"],
        updates=lambda m, n: 0,
        bases=("gpt2",),
        **{**SCALED, "first_movers": frozenset({"d"}), "counts": lambda m, n, r: m},
    ),
    diagonal("sora", methods.sora(4, alpha=8), 2.0, moves="B"),
    diagonal("dora-dyn", methods.dora_dyn(4, alpha=8), 2.0),
    diagonal("bilora", methods.bilora(4, alpha=8), 2.0, moves="B"),
    Row(
        "aflora",
        methods.aflora(4, alpha=2),
        lambda W0, f: 2 * f["b"].diag() @ f["B"] @ f["d"].diag() @ f["A"],
        2.0,
        first_movers=frozenset({"b"}),
        counts=lambda m, n, r: r * (m + n) + r + m,
    ),
    # What these do happens while they train: before that they are LoRA, and every check must hold with their events.
    Row("relora", methods.relora(4, alpha=8), product(2.0), 2.0),
    Row("cola", methods.cola(4, alpha=8), product(2.0), 2.0),
    Row("xgblora", methods.xgblora(1, alpha=8), product(8.0), 8.0),
    Row("delta-lora", methods.delta_lora(4, alpha=8), product(2.0), 2.0),
    Row("dylora", methods.dylora(4, alpha=8), product(2.0), 2.0),
    Row("dropbp", methods.dropbp(4, alpha=8), product(2.0), 2.0),
    Row("hidden-key", methods.hidden_key(4, alpha=8), product(2.0), 2.0),
    Row("longlora-groups", replace(methods.lora(4, alpha=8), events=(ShiftedAttention(4),)), product(2.0), 2.0),
    Row("prilora", methods.prilora(4, alpha=8, spread=0), product(2.0), 2.0),  # one rank; the ramp: tests/events
    Row("roselora", methods.roselora(4, alpha=8), product(2.0), 2.0),
    Row("sparse-adapter", methods.sparse_adapter(4, alpha=8), product(2.0), 2.0),
    Row("lora-drop", methods.lora_drop(4, alpha=8), product(2.0), 2.0),
    Row("riemannian-lora", methods.riemannian_lora(4, alpha=8), product(2.0), 2.0),
    Row(
        "diff-pruning",
        methods.diff_pruning(start=1.0),
        lambda W0, f: (3 / (1 + (-f["a"]).exp()) - 1.5).clamp(0, 1) * f["D"],
        1.0,
        first_movers=frozenset({"D"}),
        random=False,
        counts=lambda m, n, r: 2 * m * n,
        updates=min,
        thin=16,
    ),
    *(
        Row(
            name,
            adapter,
            lambda W0, f: f["D"],
            1.0,
            first_movers=frozenset({"D"}),
            random=False,
            counts=lambda m, n, r: m * n,
            updates=min,
            thin=16,  # whole matrices; the narrow side of every adapted layer
        )
        for name, adapter in (("galore", methods.galore(4)), ("flora-gc", methods.flora_gc(4)))
    ),
)

from .table_family import FAMILY  # noqa: E402 (its rows are made of Row)

ROWS = ROWS + FAMILY
