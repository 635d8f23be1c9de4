"""``analyze taxonomy``: how close can each way of changing a weight come to full fine-tuning's? (2407.05417)"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from rankwise.adapters import Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide_share
from rankwise.analysis.measures import reach
from rankwise.analysis.request import Request
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress


@dataclass(frozen=True)
class Way:
    """A form of change, and who uses it; a method may restrict the form, so its own optimum is no better."""

    kind: str
    methods: tuple[str, ...]


WAYS = {
    "singular values": Way("reconstruction", ("sam_parser", "svdiff")),
    "columns scaled": Way("reconstruction", ("ssl", "ia3")),
    "rows scaled": Way("reconstruction", ("ia3",)),
    "rows and columns scaled": Way("reconstruction", ("ssb",)),
    "columns rotated in blocks": Way("reconstruction", ("oft",)),
    "free entries": Way("reconstruction", ("diff_pruning",)),
    "core of W0's top directions": Way("extension", ("lora_xs",)),
    "low rank, A frozen": Way("extension", ("lora_fa",)),
    "low rank": Way("extension", ("lora", "rslora", "lora_plus", "adalora", "trilora")),
    "low rank for W0's first columns": Way("extension", ("olora",)),
    "low rank for W0's smallest directions": Way("extension", ("milora",)),
    "low rank for W0's top directions": Way("combination", ("spectral_adapter", "pissa")),
    "low rank and magnitudes": Way("combination", ("dora",)),
}
REPLACING = tuple(way for way in WAYS if " for " in way)
BLOCK = 32  # of the rotations, as OFT's default


def errors(W: Tensor, W0: Tensor, rank: int, stream: torch.Generator) -> dict[str, tuple[float, int]]:
    """Return the smallest residual over |W - W0|_F, and the number of parameters it takes, by way of changing W0.

    Rotations are left out where the number of columns is no multiple of their block.
    """
    d_out, d_in = W.shape
    A = torch.randn(rank, d_in, generator=stream, dtype=W.dtype)
    budget = rank * (d_out + d_in)
    whole = float(torch.linalg.matrix_norm(W - W0))
    smallest = W0 - reach.top_directions(W0, min(d_out, d_in) - rank)
    found = {
        "singular values": (reach.singular_values_only(W, W0), min(d_out, d_in)),
        "columns scaled": (reach.column_scaling(W, W0), d_in),
        "rows scaled": (reach.row_scaling(W, W0), d_out),
        "rows and columns scaled": (reach.row_and_column_scaling(W, W0), d_out + d_in),
        "free entries": (reach.entries(W, W0, budget // 2), budget),  # an entry costs its place and its value
        "core of W0's top directions": (reach.core(W, W0, rank), rank * rank),
        "low rank, A frozen": (reach.frozen_rows(W, W0, A), rank * d_out),
        "low rank": (reach.low_rank(W, W0, rank), budget),
        "low rank for W0's first columns": (
            reach.replaced(W, W0, reach.first_columns(W0, rank), rank),
            budget,
        ),
        "low rank for W0's smallest directions": (reach.replaced(W, W0, smallest, rank), budget),
        "low rank for W0's top directions": (
            reach.replaced(W, W0, reach.top_directions(W0, rank), rank),
            budget,
        ),
        "low rank and magnitudes": (reach.decomposed(W, W0, rank), budget + d_out),
    }
    if d_in % BLOCK == 0:
        found["columns rotated in blocks"] = (reach.rotated(W, W0, BLOCK), d_in * (BLOCK - 1) // 2)
    return {way: (found[way][0] / whole, found[way][1]) for way in WAYS if way in found}


def run(request: Request, progress: Progress) -> Finding:
    """Take full fine-tuning's weights as the target and compute every method's best possible residual."""
    ranks = request.ranks_or((2,), (8,))
    if len(ranks) != 1:
        raise UsageError(f"taxonomy compares methods at one rank; give --ranks as one number, found {len(ranks)}.")
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    names = bench.modules(2)
    (rank,) = bench.fitting(ranks, names)
    progress.plan(1, 0)
    trial = bench.trial("full", Full(), data, look=names)
    W0 = bench.weights(names)
    stream = torch.Generator().manual_seed(request.seed)
    found = {
        n: errors((W0[n] + trial.last[n].matrix).double(), W0[n].double(), rank, stream)
        for n in names
        if float(trial.last[n].sigma[0])
    }
    ordered = []
    for by in found.values():
        budget = by["low rank"][1]
        rebuilt = min(e for k, (e, count) in by.items() if WAYS[k].kind == "reconstruction" and count <= budget)
        ordered.append(by["low rank"][0] < rebuilt)
    residuals = {k: [by[k][0] for by in found.values() if k in by] for k in WAYS}
    median = {k: statistics.median(values) for k, values in residuals.items() if values}
    return Finding(
        analysis="taxonomy",
        claim=(
            "Extending a weight (LoRA) comes closer to full fine-tuning than reconstructing it from its own parts "
            "(SAM-PARSER, (IA)3), and combining (DoRA) at least as close as extending (arXiv 2407.05417)."
        ),
        setup={**bench.setup(data), "rank": rank, "modules": list(found)},
        word=decide_share(sum(ordered) / len(ordered)),
        rule=(
            "Holds if in at least 2/3 of the modules low rank leaves a smaller residual than the best reconstruction "
            "with no more parameters; does not hold if in at most 1/3; otherwise undecided. The other half is "
            "arithmetic and decides nothing: low rank with magnitudes can do all that low rank can."
        ),
        why=(
            f"Low rank leaves a smaller residual than the best reconstruction of its size in {sum(ordered)} of "
            f"{len(ordered)} modules."
        ),
        interpretation=(
            "The residual is what no choice of the method's parameters can remove, as a share of full fine-tuning's "
            "update: 1 means that the method cannot follow at all, 0 that it could copy the update. It says nothing "
            "about whether training finds that choice, nor whether the part left over matters for the loss: full "
            "fine-tuning's update has a long tail of noise that nobody needs"
            + (", which keeps every residual here near 1" if min(median.values()) > 0.9 else "")
            + f". The median residual at rank {rank} is {median['low rank']:.3f} for low rank. What counts is the "
            "order at a given number of parameters. Inits that take their start out of W0 reach other weights "
            "than LoRA: what they took can be turned, but must also be kept, out of the same rank: "
            + ", ".join(f"{', '.join(WAYS[way].methods)} {median[way]:.3f}" for way in REPLACING)
            + f" beside LoRA's {median['low rank']:.3f}."
        ),
        panels=(
            Panel(
                "Median residual by way of changing a weight",
                "bars",
                tuple({"way": k, "error": v, "kind": WAYS[k].kind} for k, v in median.items()),
                Axis("way", ""),
                Axis("error", "residual / update"),
                "kind",
            ),
            Panel(
                "Residual against parameters, by module",
                "points",
                tuple(
                    {"count": c, "error": e, "kind": WAYS[k].kind} for by in found.values() for k, (e, c) in by.items()
                ),
                Axis("count", "parameters of one module", log=True),
                Axis("error", "residual / update"),
                "kind",
            ),
        ),
        tables=(
            Table(
                "Median residual",
                ("way", "kind", "methods of this form", "residual / update"),
                tuple((k, WAYS[k].kind, ", ".join(WAYS[k].methods), v) for k, v in median.items()),
            ),
        ),
        caveats=(
            "The optima of low rank and magnitudes and of scaled rows and columns are found by alternating two exact "
            "fits: upper bounds on the true ones.",
            "The paper counts Spectral Adapter as a combination and PiSSA is written as an extension; both can reach "
            "exactly the same weights. It counts SVDiff as a combination too; it reaches what SAM-PARSER does.",
            "A free entry is counted as two parameters, its place and its value.",
        ),
        numbers={"median": median, "share_in_order": sum(ordered) / len(ordered)},
    )
