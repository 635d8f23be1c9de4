"""``analyze forgetting``: does LoRA learn less and forget less than full fine-tuning? (2405.09673)"""

from __future__ import annotations

from rankwise.adapters import Adapter, Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Table, decide
from rankwise.analysis.measures.pareto import pareto_front
from rankwise.analysis.request import Request
from rankwise.engine import Trainee, Watch
from rankwise.engine.scoring import score
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.progress import Progress

APART = 0.05  # of full fine-tuning's gain
FACTORS = (1 / 3, 1.0)  # times the usual learning rate


class SourceScore(Watch):
    """The loss on another data set after the last step: what was forgotten."""

    def __init__(self, bench: Bench, source: str) -> None:
        self.bench, self.source, self.nll = bench, source, float("nan")

    def weights(self, step: int, trainee: Trainee) -> None:
        """Score when the run is over."""
        if step == self.bench.steps:
            (found,) = score(trainee.forward, [trainee], self.bench.splits(self.source).selection)
            self.nll = found.mean


def run(request: Request, progress: Progress) -> Finding:
    """Train full and LoRA ranks on the target at two rates each; plot target loss against source loss."""
    ranks = request.ranks_or((1, 4), (1, 16))
    target, source = request.tasks("code-book", "word-problems")
    if target == source:
        raise UsageError("forgetting needs two different data sets in --data, as TARGET,SOURCE.")
    bench = Bench(request, progress)
    base_source = bench.base_nll(source)
    arms: dict[str, Adapter | Full] = {"full": Full(), **{f"LoRA r={r}": lora(r) for r in ranks}}
    progress.plan(len(arms) * len(FACTORS), 0)
    points = []
    for label, what in arms.items():
        for factor in FACTORS:
            lr, kept = bench.rate(what) * factor, SourceScore(bench, source)
            trial = bench.trial(f"{label} lr={lr:.1e}", what, target, lr=lr, watch=kept)
            points.append(
                {"arm": label, "lr": lr, "target": trial.nll, "source": kept.nll, "gain": trial.gain}
                | {"forgotten": kept.nll - base_source}
            )
    front = pareto_front([(p["target"], p["source"]) for p in points])  # type: ignore[misc]
    for i, point in enumerate(points):
        point["front"] = i in front
    best = {
        label: min((p for p in points if p["arm"] == label), key=lambda p: float(str(p["target"]))) for label in arms
    }
    full, low = best["full"], best[f"LoRA r={ranks[0]}"]
    margin = APART * abs(float(str(full["gain"])))
    learns_less = float(str(full["gain"])) - float(str(low["gain"])) > margin
    forgets_less = float(str(full["forgotten"])) - float(str(low["forgotten"])) > margin
    forgets_more = float(str(low["forgotten"])) - float(str(full["forgotten"])) > margin
    return Finding(
        analysis="forgetting",
        claim="LoRA learns less and forgets less than full fine-tuning (Biderman et al., arXiv 2405.09673).",
        setup={
            **bench.setup(target, source),
            "target": target,
            "source": source,
            "ranks": list(ranks),
            "rates": "usual and a third",
        },
        word=decide(learns_less and forgets_less, forgets_more or not (learns_less or forgets_less)),
        rule=(
            f"At each arm's rate with the lowest target loss: holds if LoRA at the lowest rank both gains less and "
            f"forgets less than full fine-tuning by more than {APART:.0%} of full fine-tuning's gain; does not hold if "
            "it forgets more by that much, or does neither; otherwise undecided."
        ),
        why=(
            f"LoRA r={ranks[0]} gained {low['gain']:.3f} nats and forgot {low['forgotten']:+.3f}; full fine-tuning "
            f"gained {full['gain']:.3f} and forgot {full['forgotten']:+.3f}."
        ),
        interpretation=(
            "Left and low is best: little loss on the new task and little on the old one. Points on the front are "
            "beaten by no other in both. A higher learning rate moves every arm along the same trade-off, so an arm "
            "is better only if its points lie nearer to the corner, not if it merely learned less and so forgot less. "
            "The source task is one that the model was not trained on here: a negative value means that training on "
            "the target helped it."
        ),
        panels=(
            Panel(
                "Target loss against source loss",
                "points",
                tuple(points),
                Axis("target", f"NLL on {target} (learned)"),
                Axis("source", f"NLL on {source} (kept)"),
                "arm",
                rule=(base_source, "untouched model, source"),
            ),
        ),
        tables=(
            Table(
                "Runs",
                ("arm", "learning rate", "target NLL", "gain", "source NLL", "forgotten", "on the front"),
                tuple(
                    (
                        *(p[k] for k in ("arm", "lr", "target", "gain", "source", "forgotten")),
                        "yes" if p["front"] else "",
                    )
                    for p in points
                ),
            ),
        ),
        caveats=("One seed, few steps; the paper trains for billions of tokens on code and mathematics.",),
        numbers={"points": points, "base_source": base_source},
    )
