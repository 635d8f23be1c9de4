"""``analyze subspace``: do other ranks, seeds and tasks find the same directions? (2106.09685, section 7)"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from torch import Tensor

from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.subspaces import (
    amplification,
    principal_angles,
    projections,
    random_projection,
    random_similarity,
    similarity,
    similarity_grid,
)
from rankwise.analysis.request import Request
from rankwise.analysis.updates import Update, short
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import lora

TOP = 4  # directions that are compared
TIMES = 3.0  # how far above chance counts
HAS, EMPHASIZED = 1.5, 0.5  # W has more than this many times a random draw there, and less than this share of its own
RULE = (
    f"Two halves, each true in a share of the modules. Found again: the top output directions under another seed are "
    f"more than {TIMES:g} times as alike as chance. Amplifies what W has but does not emphasize: in the update's "
    f"directions W has more than {HAS:g} times what it has in random ones and less than {EMPHASIZED:g} of what it has "
    "in its own top ones. Holds if both shares are at least 2/3; does not hold if either is at most 1/3; otherwise "
    "undecided."
)


def judge(again: float, amplifies: float) -> Word:
    """Return the word from the shares of modules in which each half is true: see ``RULE``."""
    return decide(min(again, amplifies) >= 2 / 3, min(again, amplifies) <= 1 / 3)


def has_unemphasized(update: float, own: float, random: float) -> bool:
    """Whether |U'WV| of the update is above random directions' and well below W's own top ones."""
    return HAS * random < update < EMPHASIZED * own


def run(request: Request, progress: Progress) -> Finding:
    """Train four adapters: low rank; high rank; high rank with another seed; high rank on another task."""
    ranks = request.ranks_or((2, 8), (8, 64))
    if len(ranks) != 2:
        raise UsageError(f"subspace compares a low and a high rank; give --ranks as two numbers, found {len(ranks)}.")
    data, other = request.tasks("word-problems", "code-book")
    bench = Bench(request, progress)
    names = bench.modules()
    low, high = bench.fitting(ranks, names)
    progress.plan(4, 0)
    seed = request.seed
    quarters = tuple(sorted({max(1, round(bench.steps * part / 4)) for part in (1, 2, 3)} - {bench.steps}))
    main = bench.trial(f"LoRA r={high}", lora(high), data, look=names, seed=seed, at=quarters)
    runs = {
        # Other seeds throughout: at one seed both ranks draw the same first rows of A, and would agree untrained.
        "low": bench.trial(f"LoRA r={low}", lora(low), data, look=names, seed=seed + 100).last,
        "high": main.last,
        "seed": bench.trial(f"LoRA r={high}, other seed", lora(high), data, look=names, seed=seed + 200).last,
        "task": bench.trial(f"LoRA r={high} on {other}", lora(high), other, look=names, seed=seed + 300).last,
    }
    W0 = bench.weights(names)
    pairs = {"other rank": ("low", "high"), "other seed": ("high", "seed"), "other task": ("high", "task")}
    table: list[tuple[Any, ...]] = []
    above: list[bool] = []
    for name in names:
        for label, (left, right) in pairs.items():
            k = min(TOP, low)
            inside = [similarity(runs[left][name].svd[side], runs[right][name].svd[side], k, k) for side in (2, 0)]
            chance = [random_similarity(k, k, n) for n in reversed(W0[name].shape)]
            table.append((name, label, inside[0], chance[0], inside[1], chance[1]))
            if label == "other seed":
                above.append(inside[1] > TIMES * chance[1])
    amplified = {name: _amplification(W0[name], runs["low"][name], low) for name in names}
    inside_W = [has_unemphasized(*row[1:4]) for row in amplified.values()]
    again, amplifies = sum(above) / len(above), sum(inside_W) / len(inside_W)
    factor = statistics.median(row[0] for row in amplified.values())
    shown = names[len(names) // 2]
    rows = sorted({1, 2, min(4, low), low})
    columns = sorted({1, 2, 4, min(8, high), min(16, high), high} & set(range(1, high + 1)))
    grid = similarity_grid(runs["low"][shown].svd[0], runs["high"][shown].svd[0], rows, columns)
    heat = tuple(
        {"i": str(i), "j": str(j), "phi": grid[a][b]} for a, i in enumerate(rows) for b, j in enumerate(columns)
    )
    bars = tuple(
        {"pair": label, "phi": statistics.median(row[2 + k] for row in table if row[1] == label), "side": side}
        for label in pairs
        for k, side in ((0, "input side"), (1, "chance, input side"), (2, "output side"), (3, "chance, output side"))
    )
    return Finding(
        analysis="subspace",
        claim=(
            "The top directions of an update are found again under another seed, far above chance, and the update "
            "amplifies directions that W has but does not emphasize (LoRA, arXiv 2106.09685, section 7)."
        ),
        setup={**bench.setup(data, other), "modules": names, "ranks": [low, high], "top": min(TOP, low)},
        word=judge(again, amplifies),
        rule=RULE,
        why=(
            f"Found again in {sum(above)} of {len(above)} modules; directions that W has but does not emphasize in "
            f"{sum(inside_W)} of {len(inside_W)}. The median amplification of W is {factor:.1f}."
        ),
        interpretation=(
            "A similarity of 1 means the same subspace and chance is max(i, j) / n. Directions that survive another "
            "seed belong to the task and the model; what is at chance is noise of that run, and rank spent on it is "
            "wasted. On the output side B starts from zero, so everything there was learned; on the input side the "
            "update cannot leave the rows of A, which start random and stay near their start in a short run, so that "
            "likeness there grows with training. The same directions under another task belong to the model rather "
            "than to the task. The amplification compares the update's size with what W has in "
            "the same directions: large values mean that the update strengthens what W hardly uses. "
            "Being below W's own top directions is arithmetic, since no others hold more; so the rule asks for half, "
            "and for more than random directions hold, as W has something in every direction. The last figure follows "
            f"the top {min(TOP, low)} directions through training: the median angle to where they end, 0 degrees for "
            "directions that were there from the start, 90 for others."
        ),
        panels=(
            Panel(
                f"Rank {low} and rank {high}, output side, {short(shown)} (chance: j / {W0[shown].shape[0]})",
                "heat",
                heat,
                Axis("j", f"first j directions at rank {high}"),
                Axis("i", f"first i at rank {low}"),
                value="phi",
            ),
            Panel(
                f"Similarity of the top {min(TOP, low)} directions, median over modules",
                "bars",
                bars,
                Axis("pair", ""),
                Axis("phi", "similarity"),
                "side",
            ),
            Panel(
                f"Rank {high}: angle between the top {min(TOP, low)} directions and those at the end",
                "lines",
                turning(main.updates, min(TOP, low)),
                Axis("step", "step"),
                Axis("angle", "median principal angle, degrees"),
                "side",
            ),
        ),
        tables=(
            Table("Similarity by module", ("module", "against", "input", "chance", "output", "chance"), tuple(table)),
            Table(
                f"What W has in the directions of the rank-{low} update",
                ("module", "amplification", "|U'WV|, update's", "|U'WV|, W's own", "|U'WV|, random", "|W|", "|update|"),
                tuple((name, *row) for name, row in amplified.items()),
            ),
        ),
        caveats=("Directions are those of the scaled product B A, not of A, whose random start would dominate.",),
        numbers={"share_above_chance": again, "share_amplifies": amplifies, "median_amplification": factor},
    )


def turning(updates: dict[int, dict[str, Update]], k: int) -> tuple[Row, ...]:
    """Return, by step and side, the median principal angle to the last step's top ``k`` directions."""
    end = updates[max(updates)]
    rows: list[Row] = []
    for step, seen in sorted(updates.items()):
        for side, which in (("output side", 0), ("input side", 2)):
            pairs = [(_top(update, which, k), _top(end[name], which, k)) for name, update in seen.items()]
            angles = [math.degrees(angle) for now, last in pairs for angle in principal_angles(now, last).tolist()]
            rows.append({"step": step, "angle": statistics.median(angles), "side": side})
    return tuple(rows)


def _top(update: Update, which: int, k: int) -> Tensor:
    # Orthonormal to float32 only; the angles are smaller than that.
    return torch.linalg.qr(update.svd[which][:, :k].double()).Q


def _amplification(W: Tensor, update: Update, rank: int) -> tuple[float, ...]:
    """Return the factor, then |U^T W V| for the update's, W's own and random directions (rms), |W| and |update|."""
    U, sigma, V = update.svd
    left, _, right = torch.linalg.svd(W, full_matrices=False)
    return (
        amplification(W, U, sigma, V, rank),
        projections(W, U[:, :rank], V[:, :rank]),
        projections(W, left[:, :rank], right[:rank].T),
        random_projection(W, rank),
        float(torch.linalg.matrix_norm(W)),
        float(torch.linalg.vector_norm(sigma)),
    )
