"""``analyze toys``: token clustering, low-rank networks and ranks that add up, without a model."""

from __future__ import annotations

import torch

from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.kernels import log_slope
from rankwise.analysis.measures.spectra import effective_rank, entropy_rank, numerical_rank, stable_rank
from rankwise.analysis.measures.toys import block_network, cluster_path, clusters, merged_ranks, outliers, wasserstein
from rankwise.analysis.request import Request
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress

TOKENS, SIZE, BLOCKS = 24, 16, 4
STRENGTHS = (0.01, 0.03, 0.1, 0.3)


def run(request: Request, progress: Progress) -> Finding:
    """Compute all three toys in float64 from one seed."""
    ranks = request.ranks or (2,)
    if len(ranks) != 1 or ranks[0] > SIZE:
        raise UsageError(
            f"toys changes the value matrix at one rank of at most {SIZE}; found {', '.join(map(str, ranks))}."
        )
    rank, stream = ranks[0], torch.Generator().manual_seed(request.seed)
    X = torch.randn(TOKENS, SIZE, generator=stream, dtype=torch.float64)
    V = torch.eye(SIZE, dtype=torch.float64)
    change = torch.randn(SIZE, rank, generator=stream, dtype=torch.float64)
    change = change @ torch.randn(rank, SIZE, generator=stream, dtype=torch.float64)
    change = change / torch.linalg.matrix_norm(change, 2)
    base = cluster_path(X, V, beta=4.0, steps=200)
    paths = {s: cluster_path(X, V + s * change, beta=4.0, steps=200) for s in STRENGTHS}
    early = [wasserstein(base[5], paths[s][5]) for s in STRENGTHS]
    slope = log_slope(list(STRENGTHS), early)
    apart = [
        {"time": 0.05 * t, "distance": wasserstein(base[t], path[t]), "arm": f"strength {s:g}"}
        for s, path in paths.items()
        for t in range(5, 201, 15)
    ]
    groups = {"V": clusters(base[-1]), **{f"strength {s:g}": clusters(p[-1]) for s, p in paths.items()}}
    network = torch.linalg.svdvals(block_network(BLOCKS, 40, 0.5, 0.05, stream))
    n = BLOCKS * 40
    merges = merged_ranks(48, 32, 4, 10, stream)
    add = all(r == min(4 * (k + 1), 32) for k, r in enumerate(merges))
    stand_out = outliers(network, BLOCKS) > 1.5
    linear = abs(slope - 1) < 0.1
    measures = (effective_rank(network), stable_rank(network), entropy_rank(network))
    return Finding(
        analysis="toys",
        claim=(
            "A low-rank change of attention's value matrix moves tokens apart in proportion at first (arXiv "
            "2402.15415), networks with few groups have few outlying singular values, and merged low-rank updates "
            "add up in rank."
        ),
        setup={"tokens": TOKENS, "dimension": SIZE, "rank": rank, "blocks": BLOCKS, "seed": request.seed},
        word=decide(linear and stand_out and add, not (linear or stand_out or add)),
        rule=(
            "Holds if the early distance grows as strength to the power 1 within 0.1, the first q singular values "
            "stand 1.5 times above the next for q blocks, and k merges of rank r give rank min(k r, side); does not "
            "hold if none of the three does; otherwise undecided."
        ),
        why=(
            f"Power {slope:.3f}; the {BLOCKS}th singular value is {outliers(network, BLOCKS):.2f} times the next; "
            f"ranks after each merge {', '.join(map(str, merges))}."
        ),
        interpretation=(
            "Two clouds of tokens under slightly different value matrices separate in proportion to the difference at "
            "first. "
            + (
                "Later they fall into different numbers of clusters, and then the distance no longer follows the "
                "strength. "
                if len(set(groups.values())) > 1
                else f"In the end every cloud has {_groups(groups['V'])}: no cluster split here, which the paper "
                "expects only past a critical time set by the value matrix. "
            )
            + "A network of 4 groups has 4 singular values above a bulk, yet its entropy rank is large: the bulk "
            f"counts (effective rank {measures[0]:.1f}, stable rank {measures[1]:.1f}, entropy rank {measures[2]:.1f} "
            f"of {n}). Independent updates add up in rank until the smaller side of the matrix is reached: that is how "
            "merge-and-restart methods leave the low-rank set."
        ),
        panels=(
            Panel(
                "Distance of the token clouds",
                "lines",
                tuple(row for row in apart if row["distance"]),
                Axis("time", "time"),
                Axis("distance", "Wasserstein-2 distance", log=True),
                "arm",
            ),
            Panel(
                f"Singular values of a network with {BLOCKS} groups",
                "points",
                tuple({"index": i, "sigma": v} for i, v in enumerate(network[:40].tolist(), 1)),
                Axis("index", "index"),
                Axis("sigma", "singular value"),
            ),
            Panel(
                "Rank of the sum of updates",
                "lines",
                tuple({"merges": k, "rank": r, "arm": "rank 4 each, 48 x 32"} for k, r in enumerate(merges, 1)),
                Axis("merges", "updates merged"),
                Axis("rank", "numerical rank"),
                "arm",
            ),
        ),
        tables=(
            Table("Clusters at the end", ("value matrix", "clusters"), tuple(groups.items())),
            Table("Rank of small matrices", ("matrix", "rank"), _small()),
        ),
        caveats=(
            "Toys: they show mechanisms and measure no language model.",
            "Arithmetic: for small changes, separated groups and independent updates the three cannot come out "
            "otherwise, whatever the seed; the word checks the code and the figures show the mechanism.",
        ),
        numbers={"power": slope, "merged_ranks": merges, "outliers": outliers(network, BLOCKS), "clusters": groups},
    )


def _groups(count: int) -> str:
    return f"{count} cluster{'s' if count > 1 else ''}"


def _small() -> tuple[tuple[str, int], ...]:
    one = torch.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]], dtype=torch.float64)
    two = torch.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 1.0]], dtype=torch.float64)
    named = {"second row = 3 x first": one, "two independent rows": two, "their sum": one + two}
    return tuple((name, numerical_rank(torch.linalg.svdvals(M), *M.shape)) for name, M in named.items())
