"""``analyze asymmetry``: is training B alone better than training A alone, and what do A and B share? (2402.16842)"""

from __future__ import annotations

import statistics
from contextlib import closing
from typing import Any, Literal

from rankwise.adapters import orientation
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.bounds import generalization_bounds
from rankwise.analysis.measures.subspaces import random_similarity, row_space, similarity
from rankwise.analysis.one_sided import OneSided
from rankwise.analysis.request import Request
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.progress import Progress

APART = 0.05
SIDES: tuple[Literal["B", "A"], ...] = ("B", "A")


def run(request: Request, progress: Progress) -> Finding:
    """Train both, B only and A only; and plain LoRA on two tasks and two seeds for the similarity of factors."""
    ranks = request.ranks_or((4,), (16,))
    if len(ranks) != 1:
        raise UsageError(f"asymmetry works at one rank; give --ranks as one number, found {len(ranks)}.")
    data, other = request.tasks("word-problems", "code-book")
    bench = Bench(request, progress)
    names = bench.modules()
    (rank,) = bench.fitting(ranks, names)
    adapter, seed = lora(rank), request.seed
    rate = bench.rate(adapter)
    factors = (1.0, 3.0)  # a factor trained alone may want more: each side gets two rates and keeps its better run
    progress.plan(3 + 2 * len(factors), 0)
    both = bench.trial("A and B", adapter, data, look=names)
    on_other = bench.trial(f"A and B on {other}", adapter, other, look=names)
    other_seed = bench.trial(f"A and B on {other}, other seed", adapter, other, look=names, seed=seed + 100)
    runs = {}
    for side in SIDES:
        tried = []
        for factor in factors:
            label = f"{side} only, lr={rate * factor:.1e}"
            with closing(OneSided(bench.base.model, bench.forward, adapter, seed, trains=side)) as trainee:
                tried.append((rate * factor, bench.trial(label, adapter, data, trainee=trainee, lr=rate * factor)))
        runs[side] = max(tried, key=lambda pair: pair[1].gain)
    gains = {"A and B": both.gain, **{f"{side} only": run[1].gain for side, run in runs.items()}}
    margin = APART * abs(both.gain)
    ahead = gains["B only"] - gains["A only"]
    pairs = {"other task, same seed": on_other, "other task, other seed": other_seed}
    similar: list[tuple[Any, ...]] = []
    for label, trial in pairs.items():
        for name in names:
            one, two = both.last[name], trial.last[name]
            assert one.right is not None
            assert two.right is not None
            d_out, d_in = bench.base_shape(name)
            a = similarity(row_space(one.right), row_space(two.right), rank, rank)
            b = similarity(row_space(one.left.T), row_space(two.left.T), rank, rank)
            similar.append(
                (label, name, a, random_similarity(rank, rank, d_in), b, random_similarity(rank, rank, d_out))
            )
    shapes = [orientation.shape(module) for module in bench.linear.values()]
    samples = request.samples or len(bench.splits(data).train)
    bounds = generalization_bounds(shapes, rank, samples)
    bars = tuple(
        {"pair": label, "phi": statistics.median(row[k] for row in similar if row[0] == label), "factor": factor}
        for label in pairs
        for k, factor in ((2, "A"), (3, "chance for A"), (4, "B"), (5, "chance for B"))
    )
    return Finding(
        analysis="asymmetry",
        claim="Training B with a random frozen A learns more than A with a random frozen B (arXiv 2402.16842).",
        setup={**bench.setup(data, other), "rank": rank, "modules": names, "samples in the bound": samples},
        word=decide(ahead > margin, ahead < -margin),
        rule=(
            f"Each side keeps the better of two rates. Holds if B only gains more than A only by {APART:.0%} of "
            "what both together gain, does not hold if less by that much."
        ),
        why=", ".join(f"{k} gained {v:.3f}" for k, v in gains.items()) + " nats.",
        interpretation=(
            "B writes into the output and can point anywhere the gradient asks; A only chooses which inputs to read, "
            "and with B frozen every update is confined to B's random columns. Across tasks with one seed the A's "
            "stay alike because they start alike and move little, while the B's start at zero and belong to the "
            "task; with another seed the likeness of the A's falls to chance, which shows that it was the start. "
            f"The bound for {samples} samples (bits 16, sigma 1) is {bounds['both']:.1f} for both factors, "
            f"{bounds['B']:.1f} for B, {bounds['A']:.1f} for A: bounds of this kind order the choices, their values "
            "mean little."
        ),
        panels=(
            Panel(
                "Gain by what trains",
                "bars",
                tuple({"arm": k, "gain": v} for k, v in gains.items()),
                Axis("arm", ""),
                Axis("gain", "nats per token"),
            ),
            Panel(
                "Likeness of factors, median over modules",
                "bars",
                bars,
                Axis("pair", ""),
                Axis("phi", "similarity"),
                "factor",
            ),
        ),
        tables=(
            Table("Generalization bound", ("trains", "bound"), tuple(bounds.items())),
            Table("Likeness by module", ("pair", "module", "A", "chance", "B", "chance"), tuple(similar)),
        ),
        caveats=(
            "One seed. B only and A only have fewer parameters than both.",
            "The bound is implemented from knowledge of the paper and was not checked against its text.",
        ),
        numbers={"gains": gains, "bounds": bounds, "rates": {side: run[0] for side, run in runs.items()}},
    )
