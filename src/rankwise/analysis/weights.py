"""``analyze weights``: do a weight's magnitude and direction move together under LoRA? (2402.09353)"""

from __future__ import annotations

from rankwise.adapters import Adapter, Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.magnitudes import magnitude_direction, pearson
from rankwise.analysis.request import Request
from rankwise.analysis.updates import spread
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import dora, lora

PAPER = {"full": -0.62, "LoRA": 0.83, "DoRA": -0.31}
APART = 0.3
LAYERS = 6


RULE = (
    f"Holds if LoRA's correlation is positive, more than {APART} above full fine-tuning's and above DoRA's; does not "
    "hold if it is not positive, or not above full fine-tuning's at all; otherwise undecided."
)


def judge(correlation: dict[str, float]) -> Word:
    """Return the word from the correlations of ``full``, ``LoRA`` and ``DoRA``: see ``RULE``."""
    own, gap = correlation["LoRA"], correlation["LoRA"] - correlation["full"]
    return decide(own > 0 and gap > APART and correlation["DoRA"] < own, own <= 0 or gap <= 0)


def run(request: Request, progress: Progress) -> Finding:
    """Train full, LoRA and DoRA; at four checkpoints compare the weights of q and v (or the first kinds) with W0."""
    ranks = request.ranks_or((4,), (16,))
    if len(ranks) != 1:
        raise UsageError(f"weights compares methods at one rank; give --ranks as one number, found {len(ranks)}.")
    rank = ranks[0]
    (data,) = request.tasks("word-problems")
    bench = Bench(request, progress)
    pairs = [n for n in bench.linear if n.rsplit(".", 1)[-1] in ("q_proj", "v_proj")]
    names = spread(pairs or bench.linear, LAYERS)
    at = tuple(sorted({max(round(bench.steps * k / 4), 1) for k in (1, 2, 3)}))
    W0 = bench.weights(names)
    targets: dict[str, Adapter | Full] = {"full": Full(), "LoRA": lora(rank), "DoRA": dora(rank)}
    progress.plan(len(targets), 0)
    points: list[Row] = []
    for label, target in targets.items():
        trial = bench.trial(label, target, data, look=names, at=at)
        for step, found in trial.updates.items():
            for name, update in found.items():
                magnitude, direction = magnitude_direction(W0[name] + update.matrix, W0[name])
                points.append(
                    {"arm": label, "module": name, "step": step, "direction": direction, "magnitude": magnitude}
                )
    correlation = {
        label: pearson(
            [p["direction"] for p in points if p["arm"] == label],
            [p["magnitude"] for p in points if p["arm"] == label],
        )
        for label in targets
    }
    return Finding(
        analysis="weights",
        claim=(
            "LoRA changes a weight's magnitude and direction in proportion, full fine-tuning and DoRA do not "
            "(DoRA, arXiv 2402.09353, figure 2: correlations full -0.62, LoRA +0.83, DoRA -0.31)."
        ),
        setup={**bench.setup(data), "rank": rank, "modules": names, "checkpoints": [*at, bench.steps]},
        word=judge(correlation),
        rule=RULE,
        why=", ".join(f"{k} {v:+.2f} (paper {PAPER[k]:+.2f})" for k, v in correlation.items()) + ".",
        interpretation=(
            "Each point is one module at one checkpoint: how much the lengths of its rows changed on average against "
            "how far they turned. A rising cloud means that what turns further also grows; a falling one that the two "
            "trade off, which the paper takes as the finer kind of learning. Within one run both grow with the steps, "
            "so a short run tends to rise for every method: the paper's points come from long runs on a model of "
            "pictures and text."
        ),
        panels=tuple(
            Panel(
                f"{label}: correlation {correlation[label]:+.2f}",
                "points",
                tuple(
                    {**p, "module": str(p["module"]).rsplit(".", 1)[-1], "step": f"step {p['step']}"}
                    for p in points
                    if p["arm"] == label
                ),
                Axis("direction", "change of direction (1 - cos)"),
                Axis("magnitude", "change of magnitude"),
                "step",
            )
            for label in targets
        ),
        tables=(
            Table(
                "Correlation of the two changes",
                ("method", "here", "paper"),
                tuple((k, v, PAPER[k]) for k, v in correlation.items()),
            ),
        ),
        caveats=(
            "Points of one run are not independent, so the correlations carry no interval.",
            "Rows of the weight, one per output, are compared, as in DoRA's code; its equation writes columns.",
        ),
        numbers={"correlation": correlation, "points": points},
    )
