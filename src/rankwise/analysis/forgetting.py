"""``analyze forgetting``: does LoRA learn less and forget less than full fine-tuning? (2405.09673)"""

from __future__ import annotations

import math

from rankwise.adapters import Adapter, Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.pareto import pareto_front
from rankwise.analysis.request import Request
from rankwise.engine import Trainee, Watch
from rankwise.engine.scoring import score
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.progress import Progress

APART = 0.05  # of full fine-tuning's gain
FACTORS = (1 / 3, 1.0)  # times the usual learning rate


RULE = (
    f"At each arm's rate with the lowest target loss after the whole run, with a margin of {APART:.0%} of full "
    "fine-tuning's gain: undecided if full fine-tuning gained nothing or forgot no more than the margin, for then "
    "there is nothing to forget less of. Otherwise holds if LoRA at the lowest rank both gains less and forgets less "
    "by more than the margin; does not hold if it forgets more by that much, or does neither; else undecided."
)


class SourceScore(Watch):
    """The loss on another data set after some steps: what was forgotten by then."""

    def __init__(self, bench: Bench, source: str, steps: tuple[int, ...]) -> None:
        self.bench, self.source, self.steps = bench, source, steps
        self.nll: dict[int, float] = {}

    def weights(self, step: int, trainee: Trainee) -> None:
        """Score where asked."""
        if step in self.steps:
            (found,) = score(trainee.forward, [trainee], self.bench.splits(self.source).selection)
            self.nll[step] = found.mean


def judge(full: tuple[float, float], low: tuple[float, float]) -> Word:
    """Return the word from (gain, forgotten) of full fine-tuning and of LoRA at the lowest rank: see ``RULE``."""
    margin = APART * full[0]
    if margin <= 0 or not full[1] > margin:
        return "undecided"
    learns_less, forgets_less = full[0] - low[0] > margin, full[1] - low[1] > margin
    return decide(learns_less and forgets_less, low[1] - full[1] > margin or not (learns_less or forgets_less))


def budgets(steps: int, every: int) -> tuple[int, ...]:
    """Return the steps after which a run is read: half way, at an evaluation, and the end."""
    return tuple(sorted({max(round(steps / 2 / every), 1) * every, steps} & set(range(1, steps + 1))))


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
    every = min(int(request.setting("eval_every")), bench.steps)
    read, batch = budgets(bench.steps, every), int(request.setting("batch"))
    points: list[Row] = []
    for label, what in arms.items():
        for factor in FACTORS:
            lr, kept = bench.rate(what) * factor, SourceScore(bench, source, read)
            trial = bench.trial(f"{label} lr={lr:.1e}", what, target, lr=lr, watch=kept, may_diverge=True)
            curve = {} if trial.diverged else dict(trial.curve)
            for step in read:
                nll = trial.nll if step == bench.steps else curve.get(step, math.inf)
                other = math.inf if trial.diverged else kept.nll[step]
                points.append(
                    {"arm": label, "lr": lr, "examples": step * batch, "target": nll, "source": other}
                    | {"gain": trial.base_nll - nll, "forgotten": other - base_source, "last": step == bench.steps}
                )
    front = [i for i in pareto_front([(p["target"], p["source"]) for p in points]) if points[i]["target"] < math.inf]
    for i, point in enumerate(points):
        point["front"] = i in front
    best = {
        label: min((p for p in points if p["arm"] == label and p["last"]), key=lambda p: float(p["target"]))
        for label in arms
    }
    full, low = best["full"], best[f"LoRA r={ranks[0]}"]
    forgot = full["forgotten"] > APART * full["gain"] > 0
    both_fell = min(full["gain"], -full["forgotten"]) > 0
    return Finding(
        analysis="forgetting",
        claim="LoRA learns less and forgets less than full fine-tuning (Biderman et al., arXiv 2405.09673).",
        setup={
            **bench.setup(target, source),
            "target": target,
            "source": source,
            "ranks": list(ranks),
            "rates": "usual and a third",
            "budgets": f"{' and '.join(str(step * batch) for step in read)} examples, of one run each",
        },
        word=judge((full["gain"], full["forgotten"]), (low["gain"], low["forgotten"])),
        rule=RULE,
        why=(
            f"LoRA r={ranks[0]} gained {low['gain']:.3f} nats and forgot {low['forgotten']:+.3f}; full fine-tuning "
            f"gained {full['gain']:.3f} and forgot {full['forgotten']:+.3f}."
        ),
        interpretation=(
            "Left and low is best: little loss on the new task and little on the old one. The thin line joins the "
            "front, the points that no other beats in both. "
            + (
                "Here full fine-tuning lost on the source what it won on the target. Where a higher rate or more "
                "examples move every arm along one such trade-off, an arm is better only if its points lie nearer to "
                "the corner, not if it merely learned less and so forgot less."
                if forgot
                else "Here training on the target lowered the loss on the source as well: there is no trade-off in "
                "these runs, and the front only says which arm helped both most."
                if both_fell
                else "Here full fine-tuning forgot next to nothing, so these runs cannot say who forgets less."
            )
            + " The source task is one that the model was not trained on here: a negative value means that training "
            "on the target helped it."
        ),
        panels=(
            Panel(
                "Target loss against source loss",
                "points",
                tuple(points),
                Axis("target", f"NLL on {target} (learned)"),
                Axis("source", f"NLL on {source} (kept)"),
                "arm",
                path=tuple({"target": points[i]["target"], "source": points[i]["source"]} for i in front),
                rule=(base_source, "untouched model, source"),
            ),
        ),
        tables=(
            Table(
                "Runs",
                (
                    "arm",
                    "learning rate",
                    "examples seen",
                    "target NLL",
                    "gain",
                    "source NLL",
                    "forgotten",
                    "on the front",
                ),
                tuple(
                    (
                        *(p[k] for k in ("arm", "lr", "examples", "target", "gain", "source", "forgotten")),
                        "yes" if p["front"] else "",
                    )
                    for p in points
                ),
            ),
        ),
        caveats=("One seed, few steps; the paper trains for billions of tokens on code and mathematics.",),
        numbers={"points": points, "base_source": base_source},
    )
