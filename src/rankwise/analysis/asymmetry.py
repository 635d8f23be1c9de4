"""``analyze asymmetry``: is training B alone better than training A alone, and what do A and B share? (2402.16842)"""

from __future__ import annotations

import statistics
from contextlib import closing
from typing import Any, Literal

from rankwise.adapters import orientation
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, Word, decide
from rankwise.analysis.measures.bounds import generalization_bounds
from rankwise.analysis.measures.subspaces import random_similarity, row_space, similarity
from rankwise.analysis.one_sided import OneSided
from rankwise.analysis.request import Request
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import lora
from rankwise.studies.search.rates import edge

APART = 0.05
FACTORS = (1 / 3, 1.0, 3.0)  # of the usual rate: a factor trained alone may want more, or less
SIDES: tuple[Literal["B", "A"], ...] = ("B", "A")


def judge(b_only: float, a_only: float, both: float, bracketed: bool = True) -> Word:
    """Return the word from the gains of B only, A only and both; a run that diverged gained minus infinity.

    Args:
        bracketed: the best rates of B only and of A only lie inside those tried.
    """
    if not bracketed:
        return "undecided"
    margin = APART * abs(both)
    return decide(b_only - a_only > margin, a_only - b_only > margin)


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
    progress.plan(3 + 2 * len(FACTORS), 0)
    both = bench.trial("A and B", adapter, data, look=names)
    on_other = bench.trial(f"A and B on {other}", adapter, other, look=names)
    other_seed = bench.trial(f"A and B on {other}, other seed", adapter, other, look=names, seed=seed + 100)
    runs, edges, scores = {}, [], []
    for side in SIDES:
        tried = []
        for factor in FACTORS:
            label = f"{side} only, lr={rate * factor:.1e}"
            with closing(OneSided(bench.base.model, bench.forward, adapter, seed, trains=side)) as trainee:
                lr = rate * factor
                tried.append((lr, bench.trial(label, adapter, data, trainee=trainee, lr=lr, may_diverge=True)))
        runs[side] = max(tried, key=lambda pair: pair[1].gain)
        where = edge({lr: None if trial.diverged else trial.nll for lr, trial in tried})
        edges += [f"{side} only (the {where}est tried)"] if where != "inside" else []
        scores += [(f"{side} only", lr, trial.gain) for lr, trial in tried]
    gains = {"A and B": both.gain, **{f"{side} only": run[1].gain for side, run in runs.items()}}
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
    medians = {
        label: tuple(statistics.median(row[k] for row in similar if row[0] == label) for k in range(2, 6))
        for label in pairs
    }
    word = judge(gains["B only"], gains["A only"], both.gain, bracketed=not edges)
    shapes = [orientation.shape(module) for module in bench.linear.values()]
    samples = request.samples or len(bench.splits(data).train)
    bounds = generalization_bounds(shapes, rank, samples)
    bars = tuple(
        {"pair": label, "phi": phi, "factor": factor}
        for label, found in medians.items()
        for phi, factor in zip(found, ("A", "chance for A", "B", "chance for B"), strict=True)
    )
    return Finding(
        analysis="asymmetry",
        claim="Training B with a random frozen A learns more than A with a random frozen B (arXiv 2402.16842).",
        setup={**bench.setup(data, other), "rank": rank, "modules": names, "samples in the bound": samples},
        word=word,
        rule=(
            "Each side keeps the best of three rates; undecided if that is the lowest or the highest of them for one "
            f"side. Otherwise holds if B only gains more than A only by {APART:.0%} of what both together gain, does "
            "not hold if less by that much; else undecided."
        ),
        why=", ".join(f"{k} gained {v:.3f}" for k, v in gains.items())
        + " nats."
        + (f" The best rate is at the edge for {' and '.join(edges)}." if edges else ""),
        interpretation=(
            _explained(word, gains)
            + _alike(medians)
            + f"The bound for {samples} samples (bits 16, sigma 1) is {bounds['both']:.1f} for both factors, "
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
            Table("Rates", ("trains", "learning rate", "gain"), tuple(scores)),
            Table("Generalization bound", ("trains", "bound"), tuple(bounds.items())),
            Table("Likeness by module", ("pair", "module", "A", "chance", "B", "chance"), tuple(similar)),
        ),
        caveats=(
            "One seed. B only and A only have fewer parameters than both.",
            "The bound is implemented from knowledge of the paper and was not checked against its text.",
        ),
        numbers={"gains": gains, "bounds": bounds, "rates": {side: run[0] for side, run in runs.items()}},
    )


def _explained(word: Word, gains: dict[str, float]) -> str:
    can = (
        "B writes into the output and can point anywhere the gradient asks; A only chooses which inputs to read, and "
        "with B frozen every update is confined to B's random columns. "
    )
    if word == "holds here":
        return can
    difference = gains["B only"] - gains["A only"]
    near = not abs(difference) > APART * abs(gains["A and B"])
    told = "about as much as A alone" if near else "more than A alone" if difference > 0 else "less than A alone"
    return f"The paper's argument: {can}Here that did not decide: in these runs B alone learned {told}. "


def _alike(medians: dict[str, tuple[float, ...]]) -> str:
    """Say what the likeness of the factors across tasks shows; ``medians`` are A, chance, B, chance by pair."""
    (a, chance, b, _), (a_other, *_) = medians.values()
    if a < 2 * chance:
        return f"Across tasks with one seed the A's are near chance ({a:.2f} against {chance:.2f}). "
    told = f"Across tasks with one seed the A's stay alike ({a:.2f}; chance {chance:.2f}), the B's at {b:.2f}; "
    if a_other < 2 * chance:
        return told + f"with another seed the A's fall to {a_other:.2f}: their likeness came from the shared start. "
    return told + f"with another seed the A's are still at {a_other:.2f}: more than the shared start is alike. "
