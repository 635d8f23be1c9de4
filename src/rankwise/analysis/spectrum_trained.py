"""``analyze spectrum --train``: full fine-tuning and LoRA on a style task and on a facts task, held against rank."""

from __future__ import annotations

import math
import statistics

from rankwise.adapters.full import Full
from rankwise.analysis.bench import Bench, WatchedRun
from rankwise.analysis.facts import few_facts, guessing, told
from rankwise.analysis.finding import Axis, Finding, Panel, Word, decide
from rankwise.analysis.measures.spectra import summary
from rankwise.analysis.request import Request
from rankwise.analysis.spectrum_panels import measured_panels, measured_table
from rankwise.analysis.updates import Update
from rankwise.execution.progress import Progress
from rankwise.methods import lora

CLAIM = (
    "A change of style has few dominant singular values and new facts have a long tail, so facts need more rank "
    "(as tutorials on rank stabilization, arXiv 2312.03732, put it)."
)
APART = 0.05
RULE = (
    f"Decided on gains, not on spectra. Two signs, each by more than {APART:.0%} of full fine-tuning's gain: at the "
    "lowest rank LoRA recovers less on facts than on style; and going to the highest rank adds more on facts than on "
    "style. Holds with both signs, does not hold with neither, undecided with one. Undecided too with fewer than two "
    "ranks, if full fine-tuning gained nothing on a task, or if it learned no fact: its loss on the code book is not "
    "below what a reader gets who knows the form of the codes and none of them."
)


def trained(request: Request, progress: Progress) -> Finding:
    """Full fine-tuning and LoRA at a ladder of ranks, on a style task and on a facts task."""
    tasks = dict(zip(("style", "facts"), request.tasks("town-crier", "code-book"), strict=True))
    bench = Bench(request, progress)
    for data in set(tasks.values()):
        few_facts(bench, data)
    names = bench.modules()
    ranks = request.ranks_or((1, 8), (1, 16))
    progress.plan(len(tasks) * (1 + len(ranks)), 0)
    full: dict[str, WatchedRun] = {}
    adapters: dict[tuple[str, int], WatchedRun] = {}
    for kind, data in tasks.items():
        full[kind] = bench.trial(f"full on {data}", Full(), data, look=names, may_diverge=True)
        for rank in ranks:
            label = f"LoRA r={rank} on {data}"
            adapters[kind, rank] = bench.trial(label, lora(rank), data, look=names, may_diverge=True)
    groups = {f"full, {kind}": trial.last for kind, trial in full.items() if not trial.diverged}
    highest = {kind: adapters[kind, ranks[-1]] for kind in tasks}
    groups |= {f"LoRA r={ranks[-1]}, {kind}": trial.last for kind, trial in highest.items() if not trial.diverged}
    groups["base"] = {n: Update(W) for n, W in bench.weights(names).items()}
    recovered = {
        kind: {rank: adapters[kind, rank].gain / full[kind].gain for rank in ranks}
        for kind in tasks
        if full[kind].gain > 0
    }
    medians = {
        kind: statistics.median(summary(groups[f"full, {kind}"][n].sigma)["entropy_rank"] for n in names)
        for kind in tasks
        if f"full, {kind}" in groups
    }
    floor = guessing(bench, tasks["facts"])
    learned = floor is None or full["facts"].nll < floor
    rows = tuple(
        {"rank": rank, "share": share, "arm": f"{kind} ({tasks[kind]})"}
        for kind, found in recovered.items()
        for rank, share in found.items()
    )
    held = Panel(
        "Held against rank: LoRA's share of full fine-tuning's gain",
        "lines",
        rows,
        Axis("rank", "rank", log=True),
        Axis("share", "share of the gain"),
        "arm",
        rule=(1.0, "full fine-tuning"),
    )
    return Finding(
        analysis="spectrum",
        claim=CLAIM,
        setup={
            **bench.setup(*tasks.values()),
            "facts to learn": len(bench.splits(tasks["facts"]).train),
            "modules": names,
            "ranks": list(ranks),
        },
        word=judge(recovered.get("style"), recovered.get("facts"), learned),
        rule=RULE,
        why=_why(recovered, full["facts"].nll, floor),
        interpretation=(
            "Full fine-tuning's update has a long tail in both tasks: Adam moves every weight by about the learning "
            "rate each step, and noise of that size is full rank. So the sum of singular values asks for many "
            "directions where the sum of squares asks for few, and a high effective rank of the update does not mean "
            "that the tail is needed (median entropy rank of full fine-tuning's update: "
            + ", ".join(f"{kind} {value:.1f}" for kind, value in medians.items())
            + "). The last panel is the direct test, and decides: if facts needed more rank, low ranks would recover a "
            "smaller share of full fine-tuning's gain there than on style, and more rank would help there more. The "
            "style task repeats a code from the question in a fixed manner of speaking; the facts task asks for codes "
            "that only training can tell."
        ),
        panels=(*measured_panels(groups, names), held),
        tables=(measured_table(groups),),
        caveats=(
            "One seed, few steps, one learning rate per kind of training (the middle of the quick study's grid).",
            "Early in training the update follows few gradients: its rank grows with the number of steps.",
            "A part of the gain on facts is their form, which is style too; it makes the two tasks more alike.",
        ),
        numbers={"recovered": recovered, "median_entropy_rank": medians, "facts_nll": full["facts"].nll}
        | {"guessing_nll": floor},
    )


def judge(style: dict[int, float] | None, facts: dict[int, float] | None, learned: bool) -> Word:
    """Return the word from the shares of full fine-tuning's gain that each rank recovers: see ``RULE``."""
    if not learned or style is None or facts is None or len(style) < 2:
        return "undecided"
    low, high = min(style), max(style)
    if not all(math.isfinite(task[rank]) for task in (style, facts) for rank in (low, high)):
        return "undecided"
    less = style[low] - facts[low] > APART
    helps = (facts[high] - facts[low]) - (style[high] - style[low]) > APART
    return decide(less and helps, not (less or helps))


def _why(recovered: dict[str, dict[int, float]], nll: float, floor: float | None) -> str:
    parts = [
        f"{kind} " + ", ".join(f"{share:.0%} at rank {rank}" for rank, share in shares.items())
        for kind, shares in recovered.items()
    ]
    return f"LoRA recovers of full fine-tuning's gain: {'; '.join(parts) or 'nothing, for there was none'}." + told(
        nll, floor
    )
