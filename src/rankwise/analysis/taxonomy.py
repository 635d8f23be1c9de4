"""``analyze taxonomy``: how close can each way of changing a weight come to full fine-tuning's? (2407.05417)"""

from __future__ import annotations

import statistics

import torch

from rankwise.adapters import Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide_share
from rankwise.analysis.measures import reach
from rankwise.analysis.request import Request
from rankwise.errors import UsageError
from rankwise.studies.progress import Progress

KINDS = {
    "singular values": "reconstruction",
    "rows scaled": "reconstruction",
    "columns scaled": "reconstruction",
    "free entries": "reconstruction",
    "core of W0's top directions": "extension",
    "low rank, A frozen": "extension",
    "low rank": "extension",
    "low rank and magnitudes": "combination",
}


# Who changes a weight that way; a method may restrict the form further, so its own optimum is no better.
METHODS = {
    "singular values": "SAM-PARSER, SVDiff",
    "rows scaled": "(IA)3 on outputs, SSB's output side",
    "columns scaled": "(IA)3 on inputs, SSL",
    "free entries": "Diff pruning",
    "core of W0's top directions": "LoRA-XS",
    "low rank, A frozen": "LoRA-FA",
    "low rank": "LoRA, rsLoRA, LoRA+, PiSSA, OLoRA, AdaLoRA",
    "low rank and magnitudes": "DoRA",
}


def errors(W: torch.Tensor, W0: torch.Tensor, rank: int, stream: torch.Generator) -> dict[str, tuple[float, int]]:
    """Return the smallest residual over |W - W0|_F, and the number of parameters it takes, by way of changing W0."""
    d_out, d_in = W.shape
    A = torch.randn(rank, d_in, generator=stream, dtype=W.dtype)
    budget = rank * (d_out + d_in)
    whole = float(torch.linalg.matrix_norm(W - W0))
    found = {
        "singular values": (reach.singular_values_only(W, W0), min(d_out, d_in)),
        "rows scaled": (reach.row_scaling(W, W0), d_out),
        "columns scaled": (reach.column_scaling(W, W0), d_in),
        "free entries": (reach.entries(W, W0, budget // 2), budget),  # an entry costs its place and its value
        "core of W0's top directions": (reach.core(W, W0, rank), rank * rank),
        "low rank, A frozen": (reach.frozen_rows(W, W0, A), rank * d_out),
        "low rank": (reach.low_rank(W, W0, rank), budget),
        "low rank and magnitudes": (reach.decomposed(W, W0, rank), budget + d_out),
    }
    return {name: (error / whole, count) for name, (error, count) in found.items()}


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
        n: errors(W0[n] + trial.last[n].matrix, W0[n], rank, stream) for n in names if float(trial.last[n].sigma[0])
    }
    ordered = []
    for by in found.values():
        budget = by["low rank"][1]
        rebuilt = min(e for k, (e, count) in by.items() if KINDS[k] == "reconstruction" and count <= budget)
        ordered.append(by["low rank"][0] < rebuilt)
    median = {k: statistics.median(by[k][0] for by in found.values()) for k in KINDS}
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
        why=f"It does in {sum(ordered)} of {len(ordered)} modules.",
        interpretation=(
            "The residual is what no choice of the method's parameters can remove, as a share of full fine-tuning's "
            "update: 1 means that the method cannot follow at all, 0 that it could copy the update. It says nothing "
            "about whether training finds that choice, nor whether the part left over matters for the loss: full "
            "fine-tuning's update has a long tail of noise that nobody needs"
            + (", which keeps every residual here near 1" if min(median.values()) > 0.9 else "")
            + f". The median residual at rank {rank} is {median['low rank']:.3f} for low rank. What counts is the "
            "order at a given number of parameters."
        ),
        panels=(
            Panel(
                "Residual against parameters, by module",
                "points",
                tuple({"count": c, "error": e, "arm": k} for by in found.values() for k, (e, c) in by.items()),
                Axis("count", "parameters of one module", log=True),
                Axis("error", "residual / update"),
                "arm",
            ),
        ),
        tables=(
            Table(
                "Median residual",
                ("way", "kind", "methods of this form", "residual / update"),
                tuple((k, KINDS[k], METHODS[k], v) for k, v in median.items()),
            ),
        ),
        caveats=(
            "The combination's optimum is found by alternating two exact fits: an upper bound on the true one.",
            "A free entry is counted as two parameters, its place and its value.",
        ),
        numbers={"median": median, "share_in_order": sum(ordered) / len(ordered)},
    )
