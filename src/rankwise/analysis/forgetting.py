"""``analyze forgetting``: does LoRA learn less and forget less than full fine-tuning? (2405.09673)"""

from __future__ import annotations

import math
import statistics
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.analysis.bench import Bench
from rankwise.analysis.facts import few_facts, guessing, told
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.pareto import pareto_front
from rankwise.analysis.measures.spectra import energy_rank
from rankwise.analysis.request import Request
from rankwise.analysis.updates import Update
from rankwise.engine import Trainee, Watch
from rankwise.engine.evaluation.scoring import score
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import lora
from rankwise.studies.search.rates import edge

APART = 0.05  # of full fine-tuning's gain
FACTORS = (1 / 3, 1.0, 3.0)  # times the usual learning rate
ENERGY = 0.9

RULE = (
    f"At each arm's rate with the lowest target loss after the whole run, with a margin of {APART:.0%} of full "
    "fine-tuning's gain: undecided if full fine-tuning gained nothing or forgot no more than the margin, for then "
    "there is nothing to forget less of; undecided too if it learned no fact, where the target is the code book, and "
    "if the best rate of one of the two is the lowest or the highest tried. "
    "Otherwise holds if LoRA at the lowest rank both gains less and forgets less "
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


def judge(full: tuple[float, float], low: tuple[float, float], learned: bool = True, bracketed: bool = True) -> Word:
    """Return the word from (gain, forgotten) of full fine-tuning and of LoRA at the lowest rank: see ``RULE``.

    Args:
        bracketed: the best rates of both lie inside those tried.
    """
    margin = APART * full[0]
    if not (learned and bracketed) or margin <= 0 or not full[1] > margin:
        return "undecided"
    learns_less, forgets_less = full[0] - low[0] > margin, full[1] - low[1] > margin
    return decide(learns_less and forgets_less, low[1] - full[1] > margin or not (learns_less or forgets_less))


def budgets(steps: int, every: int) -> tuple[int, ...]:
    """Return the steps after which a run is read: half way, at an evaluation, and the end."""
    return tuple(sorted({max(round(steps / 2 / every), 1) * every, steps} & set(range(1, steps + 1))))


def run(request: Request, progress: Progress) -> Finding:
    """Train full and LoRA ranks on the target at three rates each; plot target loss against source loss."""
    ranks = request.ranks_or((1, 4), (1, 16))
    target, source = request.tasks("code-book", "word-problems")
    if target == source:
        raise UsageError("forgetting needs two different data sets in --data, as TARGET,SOURCE.")
    bench = Bench(request, progress)
    few_facts(bench, target)
    names = bench.modules()
    base_source = bench.base_nll(source)
    arms: dict[str, Adapter | Full] = {"full": Full(), **{f"LoRA r={r}": lora(r) for r in ranks}}
    progress.plan(len(arms) * len(FACTORS), 0)
    every = min(int(request.setting("eval_every")), bench.steps)
    read, batch = budgets(bench.steps, every), int(request.setting("batch"))
    points: list[Row] = []
    sizes: list[tuple[Any, ...]] = []
    for label, what in arms.items():
        for factor in FACTORS:
            lr, kept = bench.rate(what) * factor, SourceScore(bench, source, read)
            trial = bench.trial(
                f"{label} lr={lr:.1e}", what, target, look=names, lr=lr, watch=kept, may_diverge=True, curve=True
            )
            if not trial.diverged:
                sizes.append((label, lr, *_directions(trial.last)))
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
    floor = guessing(bench, target)
    learned = floor is None or full["target"] < floor
    bracketed = all(inside(points, arm["arm"]) for arm in (full, low))
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
            "rates": "a third of the usual one, the usual one, three times it",
            "examples to learn": len(bench.splits(target).train),
            "budgets": f"{' and '.join(str(step * batch) for step in read)} examples, of one run each",
        },
        word=judge((full["gain"], full["forgotten"]), (low["gain"], low["forgotten"]), learned, bracketed),
        rule=RULE,
        why=(
            f"LoRA r={ranks[0]} gained {low['gain']:.3f} nats and forgot {low['forgotten']:+.3f}; full fine-tuning "
            f"gained {full['gain']:.3f} and forgot {full['forgotten']:+.3f}."
            + told(full["target"], floor)
            + _edges(best, points)
        ),
        interpretation=(
            "Left and low is best: little loss on the new task and little on the old one. The thin line joins the "
            "front, the points that no other beats in both. "
            + (
                f"Here full fine-tuning lost {full['forgotten']:.2f} nats on the source for the {full['gain']:.2f} it "
                "won on the target. Where a higher rate or more examples move every arm along one such trade-off, an "
                "arm is better only if its points lie nearer to the corner, not if it merely learned less and so "
                "forgot less."
                if forgot
                else "Here training on the target lowered the loss on the source as well: there is no trade-off in "
                "these runs, and the front only says which arm helped both most."
                if both_fell
                else "Here full fine-tuning forgot next to nothing, so these runs cannot say who forgets less."
            )
            + " The source task is one that the model was not trained on here: a negative value means that training "
            "on the target helped it. The last table counts the directions that full fine-tuning's update takes: the "
            "paper finds ten to a hundred times LoRA's usual ranks."
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
            Table(
                f"Directions that hold {ENERGY:.0%} of the update's squared size, over {len(names)} modules",
                ("arm", "learning rate", "median", "most"),
                tuple(sizes),
            ),
        ),
        caveats=("One seed, few steps; the paper trains for billions of tokens on code and mathematics.",),
        numbers={"points": points, "base_source": base_source, "guessing_nll": floor},
    )


def _directions(updates: dict[str, Update]) -> tuple[float, int]:
    """Return the median and the largest number of directions over the modules that moved."""
    found = [energy_rank(update.sigma, ENERGY) for update in updates.values()]
    return statistics.median(found), max(found)


def inside(points: list[Row], label: str) -> bool:
    """Return whether the best rate of an arm has a worse one (or one that diverged) on both sides."""
    last = [p for p in points if p["arm"] == label and p["last"]]
    return edge({p["lr"]: p["target"] if math.isfinite(p["target"]) else None for p in last}) == "inside"


def _edges(best: dict[str, Row], points: list[Row]) -> str:
    """Name the arms whose best rate is the highest or the lowest one tried."""
    tried = {label: sorted({p["lr"] for p in points if p["arm"] == label}) for label in best}
    high = [label for label, p in best.items() if p["lr"] == tried[label][-1]]
    low = [label for label, p in best.items() if p["lr"] == tried[label][0]]
    said = [f"the highest one for {', '.join(high)}"] if high else []
    said += [f"the lowest one for {', '.join(low)}"] if low else []
    return f" Of the rates tried the best was {' and '.join(said)}." if said else ""
