"""More rows of the contract table: parametrizations other than B A, one or two rows each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from rankwise import methods
from rankwise.adapters import Adapter
from rankwise.adapters.inits import Symmetric
from rankwise.adapters.parametrizations import PseudoSingular

from .table import BOTH, Factors, Oracle, Row, core, diagonal, minus_start, product, with_trained_core

WIDTHS = (6, 8, 12, 16, 24, 48, 64)
CORES = frozenset(f"{side}{i}" for side in "AB" for i in range(1, 5))


def lora_count(m: int, n: int, r: int) -> int:
    return r * (m + n)


def pairs_count(layers: list[tuple[int, int]], r: int) -> int:
    """One A for each d_in and one B for each d_out."""
    return r * (sum({n for _, n in layers}) + sum({m for m, _ in layers}))


def with_shares(s: float) -> Oracle:
    """BiLoRA: s * sum over k of softmax(e)_k times the outer product of B's column k and A's row k."""
    return lambda W0, f: s * torch.einsum("or,r,ri->oi", f["B"], f["e"].exp() / f["e"].exp().sum(), f["A"])


def deep(s: float, cores: int) -> Oracle:
    """Deep LoRA: s times the product of all factors, from the output's side."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        names = ["B", *(f"C{i}" for i in range(cores, 0, -1)), "A"]
        return s * torch.linalg.multi_dot([f[name] for name in names])

    return delta


def trains(s: float, rank: int) -> Oracle:
    """LoRETTA: every train contracted core by core into a tensor of all its sizes, then read as a matrix."""

    def whole(f: Factors, side: str, end: str) -> Tensor:
        names = sorted(n for n in f if n[0] == side and n.endswith("_0") == bool(end))
        return reduce(lambda a, b: torch.tensordot(a, b, 1), [f[n] for n in names]).reshape(-1, rank)

    def delta(W0: Tensor, f: Factors) -> Tensor:
        now, old = ([whole(f, side, end) for side in "AB"] for end in ("", "_0"))
        return s * (now[1] @ now[0].T - old[1] @ old[0].T)

    return delta


def mixed(s: float, rank: int, bases: int) -> Oracle:
    """NOLA, equation 3, from the random matrices of seed 0."""

    def draw(seed: int, count: int, width: int) -> Tensor:
        unit = torch.rand(count, width, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return 2 * unit - 1

    def delta(W0: Tensor, f: Factors) -> Tensor:
        m, n = W0.shape
        R, Q = draw(0, bases + 1, n), draw(1, bases, m)
        A = R[bases] / math.sqrt(n) + sum(f["a"][i] * R[i] for i in range(bases)) / math.sqrt(bases)
        B = sum(f["b"][i] * Q[i] for i in range(bases)) / math.sqrt(bases)
        return s * B @ A.T

    return delta


def tied(s: float) -> Oracle:
    """Tied-LoRA: diag(v) B diag(u) A with the pair of the layer's widths."""
    return lambda W0, f: s * f["v"].diag() @ f["B"] @ f["u"].diag() @ f["A"]


def from_bank(W0: Tensor, f: Factors) -> Tensor:
    """VB-LoRA: every piece a mixture of its two best vectors."""

    def pieces(logits: Tensor) -> Tensor:
        worst_kept = logits.sort(dim=-1, descending=True).values[..., 1:2]
        weights = logits.exp() * (logits >= worst_kept)
        return (weights / weights.sum(-1, keepdim=True)) @ f["bank"]

    A, B = pieces(f["logits_A"]), pieces(f["logits_B"])  # (r, n/b, b), (m/b, r, b)
    return torch.einsum("prb,rqc->pbqc", B, A).reshape(W0.shape)


def slices(s: float, count: int) -> Oracle:
    """MELoRA: an update on every diagonal block."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        m, n = (side // count for side in W0.shape)
        found = torch.zeros_like(W0)
        for i in range(count):
            rows, columns = slice(i * m, (i + 1) * m), slice(i * n, (i + 1) * n)
            found[rows, columns] = s * f["B"][rows] @ f["A"][:, columns]
        return found

    return delta


def hadamard(s: float) -> Oracle:
    """LoHa: entry by entry."""
    return lambda W0, f: s * torch.einsum("or,ri,oq,qi->oi", f["B1"], f["A1"], f["B2"], f["A2"])


def kronecker(s: float) -> Oracle:
    """LoKr: every entry of C times E."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        E = f["E"] if "E" in f else f["B"] @ f["A"]
        return s * torch.einsum("ab,cd->acbd", f["C"], E).reshape(W0.shape)

    return delta


def near_root(size: int) -> int:
    return next(k for k in range(int(math.sqrt(size)), 0, -1) if size % k == 0)


def kronecker_sizes(m: int, n: int, r: int) -> tuple[int, int, int, int, bool]:
    a, b = near_root(m), near_root(n)
    return a, m // a, b, n // b, 2 * r < max(m // a, n // b)


def kronecker_count(m: int, n: int, r: int) -> int:
    a, c, b, d, thin = kronecker_sizes(m, n, r)
    return a * b + (r * (c + d) if thin else c * d)


def kronecker_rank(m: int, n: int) -> int:
    a, c, b, d, thin = kronecker_sizes(m, n, 2)
    return min(a, b) * (min(2, c, d) if thin else min(c, d))


def cayley(upper: Tensor, size: int) -> Tensor:
    """(I + S)(I - S)^-1 of the skew-symmetric matrix with these entries above its diagonal."""
    S = torch.zeros(size, size, dtype=upper.dtype)
    S = S.masked_scatter(torch.ones(size, size).triu(1).bool(), upper)
    S, one = S - S.T, torch.eye(size, dtype=upper.dtype)
    return (one + S) @ torch.linalg.inv(one - S)


def rotated(block: int) -> Oracle:
    """OFT: W0 R, seen from W0."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        return W0 @ torch.block_diag(*(cayley(row, block) for row in f["S"])) - W0

    return delta


def by_butterflies(block: int) -> Oracle:
    """BOFT: diag(g) W0 R_1 R_2, seen from W0; the second factor pairs halves of blocks that lie two halves apart."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        n, half, R = W0.shape[1], block // 2, torch.eye(W0.shape[1], dtype=W0.dtype)
        for level, S in enumerate(f["S"]):
            order, apart = [], 2**level
            for first in range(0, n // half, 2 * apart):
                for k in range(first, first + apart):
                    order += [*range(k * half, (k + 1) * half), *range((k + apart) * half, (k + apart + 1) * half)]
            P = torch.eye(n, dtype=W0.dtype)[order]
            R = R @ P.T @ torch.block_diag(*(cayley(row, block) for row in S)) @ P
        return f["g"].diag() @ W0 @ R - W0

    return delta


def reflected(W0: Tensor, f: Factors) -> Tensor:
    """HRA, equation 3: W0 times every reflection in turn, seen from W0."""
    W = W0
    for u in f["U"]:
        W = W - 2 * torch.outer(W @ u, u) / (u @ u)
    return W - W0


def waves(scale: float, count: int) -> Oracle:
    """FourierFT: a sum of cosines, one for every entry of the spectrum."""

    def delta(W0: Tensor, f: Factors) -> Tensor:
        m, n = W0.shape
        chosen = torch.randperm(m * n, generator=torch.Generator().manual_seed(777))[:count].tolist()
        rows, columns = torch.arange(m, dtype=W0.dtype)[:, None] / m, torch.arange(n, dtype=W0.dtype) / n
        terms = [
            c * torch.cos(2 * math.pi * ((k // n) * rows + (k % n) * columns))
            for c, k in zip(f["c"], chosen, strict=True)
        ]
        return scale * sum(terms) / (m * n)

    return delta


def sharded(W0: Tensor, f: Factors) -> Tensor:
    """MiSS: column j of the update is column j mod r of D."""
    return torch.stack([f["D"][:, j % f["D"].shape[1]] for j in range(W0.shape[1])], dim=1)


def refactored(W0: Tensor, f: Factors) -> Tensor:
    """SAM-PARSER: U diag(t) V, seen from W0."""
    U, _, V = torch.linalg.svd(W0, full_matrices=False)
    return U @ f["t"].diag() @ V - W0


def shifted(W0: Tensor, f: Factors) -> Tensor:
    """SVDiff: U diag(relu(S + 2 t)) V, seen from W0."""
    U, S, V = torch.linalg.svd(W0, full_matrices=False)
    return U @ (S + 2 * f["t"]).relu().diag() @ V - W0


def moved_vectors(W0: Tensor, f: Factors) -> Tensor:
    """Spectral Adapter, equation 1, and the untouched rest."""
    S = f["S"].diag()
    return (f["U"] + f["P"]) @ S @ (f["V"] + f["Q"]) - f["U"] @ S @ f["V"]


def turned_vectors(W0: Tensor, f: Factors) -> Tensor:
    """Spectral Adapter, equation 2, and the untouched rest."""
    S, r = f["S"].diag(), len(f["S"])
    return f["U"] @ cayley(f["P"], r) @ S @ cayley(f["Q"], r) @ f["V"] - f["U"] @ S @ f["V"]


def narrow_side(m: int, n: int, r: int) -> int:
    return min(m, n)


def doubled(rank: int) -> dict[str, Any]:
    """What a row says whose update has twice the rank of its factors, and thin factors of that rank."""
    return {"updates": lambda m, n: min(2 * rank, m, n), "thin": 2 * rank}


def whole(name: str, adapter: Adapter, oracle: Oracle, moves: str, counts: Callable[[int, int, int], int]) -> Row:
    """A row of a start that draws nothing, whose update has full rank and no thin factors; each of ``moves`` moves."""
    first = frozenset(moves)
    return Row(name, adapter, oracle, 1.0, first_movers=first, random=False, counts=counts, updates=min, thin=None)


VECTORS = {"first_movers": frozenset("PQ"), "random": False, "rank_bounded": True}
STARTS = (
    Row("init-b", methods.init_b(4, alpha=8), product(2.0), 2.0, first_movers=frozenset({"A"})),
    Row(
        "lora-symmetric",
        replace(methods.lora(4, alpha=8), init=Symmetric()),
        minus_start(2.0),
        2.0,
        first_movers=BOTH,
        edits_base=True,
    ),
    Row(
        "pissa-fast",
        methods.pissa(3, alpha=6, iterations=4),
        minus_start(2.0),
        2.0,
        first_movers=BOTH,
        edits_base=True,
        rank_bounded=True,
    ),
    Row(
        "asymmetric-frozen-a",
        methods.asymmetric_lora(4, alpha=8),
        product(2.0),
        2.0,
        random=False,
        rank_bounded=True,
        counts=lambda m, n, r: r * m,
    ),
    Row(
        "mica-frozen-b",
        methods.mica(4, alpha=8),
        product(2.0),
        2.0,
        first_movers=frozenset({"A"}),
        random=False,
        rank_bounded=True,
        counts=lambda m, n, r: r * n,
    ),
)
FAMILY = (
    *STARTS,
    diagonal(
        "pseudo-singular",
        Adapter(rank=4, alpha=8, parametrization=PseudoSingular()),
        2.0,
        moves="B",
        oracle=with_shares(2.0),
    ),
    Row(
        "loretta",
        methods.loretta(2, alpha=4, tensor_rank=3),
        trains(2.0, 2),
        2.0,
        first_movers=CORES,
        counts=lambda m, n, r: sum(train_count(side, r, 3) for side in (m, n)),
        **doubled(2),
    ),
    diagonal("trilora", methods.trilora(4, alpha=8), 2.0),
    core("flora-core", methods.flora_core(4, alpha=8), 8 / 4.00001),
    Row(
        "deep-lora",
        methods.deep_lora(4, alpha=2),
        deep(2.0, 1),
        2.0,
        identity="near",
        first_movers=frozenset({"A", "B", "C1"}),
        rank_bounded=True,
        counts=lambda m, n, r: r * (m + n) + r * r,
    ),
    Row(
        "lotr",
        methods.lotr(3, alpha=1.5),
        with_trained_core(0.5),
        0.5,
        first_movers=frozenset({"C"}),
        counts=lambda m, n, r: r * r,
        shared=pairs_count,
    ),
    Row(
        "nola",
        methods.nola(3, alpha=6, bases=5),
        mixed(2.0, 3, 5),
        2.0,
        first_movers=frozenset({"b"}),
        random=False,
        counts=lambda m, n, r: 10,
    ),
    Row(
        "tied-lora",
        methods.tied_lora(3, alpha=6),
        tied(2.0),
        2.0,
        first_movers=frozenset(f"B{width}" for width in WIDTHS),
        counts=lambda m, n, r: r + m,
        shared=pairs_count,
    ),
    Row(
        "vb-lora",
        methods.vb_lora(3, vectors=6, length=2),
        from_bank,
        1.0,
        identity="near",
        first_movers=frozenset({"bank", "logits_A", "logits_B"}),
        counts=lambda m, n, r: r * (m + n) // 2 * 6,
        shared=lambda layers, r: 12,
    ),
    Row("melora", methods.melora(2, alpha=4, count=2), slices(2.0, 2), 2.0, counts=lora_count, **doubled(2)),
    Row(
        "loha",
        methods.loha(2, alpha=4),
        hadamard(2.0),
        2.0,
        first_movers=frozenset({"A2"}),
        counts=lambda m, n, r: 2 * r * (m + n),
        **doubled(2),
    ),
    Row(
        "lokr",
        methods.lokr(2, alpha=4),
        kronecker(2.0),
        2.0,
        first_movers=frozenset({"C"}),
        counts=kronecker_count,
        updates=kronecker_rank,
        thin=None,
    ),
    whole("oft", methods.oft(block=4), rotated(4), "S", lambda m, n, r: n // 4 * 6),
    whole("boft", methods.boft(block=2, factors=2), by_butterflies(2), "Sg", lambda m, n, r: 2 * (n // 2) + m),
    Row(
        "hra",
        methods.hra(4),
        reflected,
        1.0,
        first_movers=frozenset({"U"}),
        identity="rounding",
        counts=lambda m, n, r: r * n,
    ),
    whole("fourierft", methods.fourierft(frequencies=70, scale=20.0), waves(20.0, 70), "c", lambda m, n, r: 70),
    Row(
        "miss",
        methods.miss(3),
        sharded,
        1.0,
        first_movers=frozenset({"D"}),
        random=False,
        counts=lambda m, n, r: r * m,
    ),
    whole("sam-parser", methods.sam_parser(), refactored, "t", narrow_side),
    whole("svdiff", methods.svdiff(scale=2.0), shifted, "t", narrow_side),
    Row(
        "spectral-additive",
        methods.spectral_adapter(3),
        moved_vectors,
        1.0,
        counts=lora_count,
        **doubled(3),
        **VECTORS,
    ),
    Row(
        "spectral-rotational",
        methods.spectral_adapter(4, form="rotational"),
        turned_vectors,
        1.0,
        counts=lambda m, n, r: r * (r - 1),
        **VECTORS,
    ),
    whole("ssl", methods.ssl(), lambda W0, f: W0 @ f["a"].diag() - W0, "a", lambda m, n, r: n),
    whole("ssb", methods.ssb(), lambda W0, f: f["b"].diag() @ W0 @ f["a"].diag() - W0, "ab", lambda m, n, r: m + n),
)


def train_count(size: int, rank: int, inner: int) -> int:
    """Numbers in a train of ``size`` in at most three parts, and the rank."""
    parts = {6: (2, 3), 8: (2, 2, 2), 12: (2, 2, 3), 16: (2, 2, 4), 24: (2, 3, 4), 48: (3, 4, 4), 64: (4, 4, 4)}[size]
    ends = [1, *[inner] * len(parts), 1]
    return sum(a * k * b for a, k, b in zip(ends, (*parts, rank), ends[1:], strict=False))
