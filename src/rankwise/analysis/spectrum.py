"""``analyze spectrum``: do facts need more rank than style? In closed form, or measured on trained updates."""

from __future__ import annotations

import math
import statistics

from rankwise.adapters import load
from rankwise.adapters.full import Full
from rankwise.analysis.bench import Bench, Trial
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.spectra import energy_rank, summary
from rankwise.analysis.measures.style_facts import ALPHA, RANKS, facts_spectrum, style_facts_table, style_spectrum
from rankwise.analysis.request import Request
from rankwise.analysis.updates import Update, short, update_of
from rankwise.data.code_book import CODE_NATS
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.progress import Progress

CLAIM = (
    "A change of style has few dominant singular values and new facts have a long tail, so facts need more rank "
    "(the project's seed article on rank stabilization)."
)
APART = 0.05
FACTS_PER_BATCH = 2  # facts to learn, in batches: few enough to be seen ten times in a quick run
RULE = (
    f"Decided on gains, not on spectra. Two signs, each by more than {APART:.0%} of full fine-tuning's gain: at the "
    "lowest rank LoRA recovers less on facts than on style; and going to the highest rank adds more on facts than on "
    "style. Holds with both signs, does not hold with neither, undecided with one. Undecided too with fewer than two "
    "ranks, if full fine-tuning gained nothing on a task, or if it learned no fact: its loss on the code book is not "
    "below what a reader gets who knows the form of the codes and none of them."
)
MEASURES = ("effective_rank", "stable_rank", "entropy_rank", "rank_90_sum", "rank_90_squares")
COLUMNS = ("effective rank", "stable rank", "entropy rank", "rank for 90 % of the sum", "rank for 90 % of the squares")


def run(request: Request, progress: Progress) -> Finding:
    """Closed form without options; ``adapter`` looks at a saved one; ``train`` trains style against facts."""
    if request.adapter is not None and request.train:
        raise UsageError("--adapter looks at a saved adapter and --train makes its own updates; give one of them.")
    if request.train:
        return _trained(request, progress)
    if request.adapter is not None:
        return _saved(request, progress)
    for option in sorted(request.given - {"scale"}):
        raise UsageError(f"--{option} needs --train or --adapter: the closed form has no model, data or seed.")
    return _closed_form()


def _closed_form() -> Finding:
    table = style_facts_table()
    middle = [row for row in table if 2 <= row["rank"] <= 32]
    kinds = ("style", "facts")
    lower = sum(row[f"{k}_alpha_over_sqrt_r"] < row[f"{k}_alpha_over_r"] for row in middle for k in kinds)
    needs = {k: energy_rank(s, 0.9) for k, s in zip(kinds, (style_spectrum(), facts_spectrum()), strict=True)}
    sums = {k: energy_rank(s, 0.9, "sum") for k, s in zip(kinds, (style_spectrum(), facts_spectrum()), strict=True)}
    names = {"unscaled": "no scale", "alpha_over_r": "alpha/r", "alpha_over_sqrt_r": "alpha/sqrt(r)"}
    rows = tuple(
        {"rank": row["rank"], "error": row[f"{kind}_{column}"], "arm": f"{kind}, {name}"}
        for row in table
        for kind in kinds
        for column, name in names.items()
        if row[f"{kind}_{column}"] > 0
    )
    return Finding(
        analysis="spectrum",
        claim=(
            "With alpha/sqrt(r) a truncated update is closer to the original than with alpha/r "
            "(the project's seed article on rank stabilization)."
        ),
        setup={"dimension": 64, "alpha": ALPHA, "style": "10, 6, 3, 1.5, then 0.02", "facts": "1/sqrt(i)"},
        word=decide(lower == 2 * len(middle), lower < len(middle)),
        rule=(
            "Holds if alpha/sqrt(r) has the lower error at every rank from 2 to 32 for both spectra, does not hold if "
            "in fewer than half of these cases. This is arithmetic on two fixed spectra: the word is the same on "
            "every machine and model."
        ),
        why=f"alpha/sqrt(r) has the lower error in {lower} of {2 * len(middle)} cases.",
        interpretation=(
            "The error of a truncation times a scale s is sqrt(1 - E_r + (s - 1)^2 E_r), E_r the energy kept: it "
            "depends on the spectrum alone and is lowest at s = 1, which for alpha 16 is rank 16 under alpha/r and "
            "rank 256 under alpha/sqrt(r). The curves with a scale therefore show how far s is from 1, not how well a "
            "scaling learns: training absorbs s into the factors. The unscaled curve is the honest one, and there the "
            f"style spectrum needs rank {needs['style']} for 90 % of its squared norm ({sums['style']} for 90 % of "
            f"the sum of singular values) and the facts spectrum {needs['facts']} ({sums['facts']}): the same percent "
            "means very different ranks in the two conventions. Whether real style and real facts have such spectra "
            "is what `rankwise analyze spectrum --train` measures."
        ),
        panels=(
            Panel(
                "Relative error of a rank-r truncation",
                "lines",
                rows,
                Axis("rank", "rank", log=True),
                Axis("error", "relative Frobenius error", log=True),
                "arm",
            ),
            _spectra_panel({"style": style_spectrum().tolist(), "facts": facts_spectrum().tolist()}),
        ),
        tables=(
            Table(
                "Relative errors, style / facts",
                ("rank", "unscaled", "alpha/r", "alpha/sqrt(r)", "E_r"),
                tuple(
                    (
                        int(row["rank"]),
                        *(
                            f"{row[f'style_{c}']:.4f} / {row[f'facts_{c}']:.4f}"
                            for c in ("unscaled", "alpha_over_r", "alpha_over_sqrt_r", "energy")
                        ),
                    )
                    for row in table
                ),
            ),
        ),
        caveats=(
            "The source gives no data: both spectra are our choice, so they illustrate the claim and prove nothing.",
            "The error mixes truncation with a scale that training would absorb.",
        ),
        numbers={"table": table, "ranks": list(RANKS), "rank_90_squares": needs, "rank_90_sum": sums},
    )


def _saved(request: Request, progress: Progress) -> Finding:
    """Spectra of a saved adapter beside the base's."""
    for option in sorted(request.given & {"ranks", "steps", "lr", "data", "seed"}):
        raise UsageError(f"--{option} needs --train: a saved adapter is looked at as it is.")
    bench = Bench(request, progress)
    assert request.adapter is not None
    handle = load(bench.base.model, request.adapter, name="looked-at", base_fingerprint=bench.base.fingerprint)
    try:
        found = {name: update_of(slot) for name, slot in handle.slots.items()}
        rank = handle.adapter.rank * (1 + handle.adapter.init.edits_base)
    finally:
        handle.detach()
    names = [name for name in bench.modules() if name in found] or list(found)[:9]
    groups = {"adapter": {n: found[n] for n in names}, "base": {n: Update(W) for n, W in bench.weights(names).items()}}
    needed = {name: energy_rank(u.sigma) for name, u in groups["adapter"].items() if float(u.sigma.max()) > 0}
    if not needed:
        raise UsageError(f"the adapter in {request.adapter} is still zero in every module; train it first.")
    middle = statistics.median(needed.values())
    share = middle / rank
    return Finding(
        analysis="spectrum",
        claim="An adapter uses fewer directions than its rank offers: a lower rank would have done.",
        setup={**bench.setup(), "data": [], "adapter": str(request.adapter), "formula": repr(handle.adapter)},
        word=decide(share <= 0.5, share > 0.8),
        rule=(
            "Holds if the median module needs at most half of the rank for 90 % of the update's squared norm, does not "
            "hold if more than four fifths."
        ),
        why=f"The median module needs {middle:g} of {rank} directions.",
        interpretation=(
            "An update that spends nearly all of its energy in a few directions can be compressed to that rank with "
            "little change; one with a flat spectrum uses its whole rank and may want more. The base's own weights, "
            "drawn beside it, are nearly full rank: low rank is a property of the change, not of the model."
        ),
        panels=_measured_panels(groups, names),
        tables=(_measured_table(groups),),
        numbers={"rank_90_squares": needed, "rank": rank},
    )


def _trained(request: Request, progress: Progress) -> Finding:
    """Full fine-tuning and LoRA at a ladder of ranks, on a style task and on a facts task."""
    tasks = dict(zip(("style", "facts"), request.tasks("town-crier", "code-book"), strict=True))
    bench = Bench(request, progress)
    if "code-book" in tasks.values():
        # Facts seen once are not learned: a run over many would measure how fast the form of a code is picked up.
        bench.limit("code-book", FACTS_PER_BATCH * int(request.setting("batch")))
    names = bench.modules()
    ranks = request.ranks_or((1, 8), (1, 16))
    progress.plan(len(tasks) * (1 + len(ranks)), 0)
    full: dict[str, Trial] = {}
    adapters: dict[tuple[str, int], Trial] = {}
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
    floor = _guessing(bench) if tasks["facts"] == "code-book" else None
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
        panels=(*_measured_panels(groups, names), held),
        tables=(_measured_table(groups),),
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


def _guessing(bench: Bench) -> float:
    """Return the NLL per target token of a reader who knows the form of the codes and none of them."""
    examples = bench.splits("code-book").selection
    return CODE_NATS * len(examples) / sum(sum(example.target_mask) for example in examples)


def _why(recovered: dict[str, dict[int, float]], nll: float, floor: float | None) -> str:
    parts = [
        f"{kind} " + ", ".join(f"{share:.0%} at rank {rank}" for rank, share in shares.items())
        for kind, shares in recovered.items()
    ]
    told = f"LoRA recovers of full fine-tuning's gain: {'; '.join(parts) or 'nothing, for there was none'}."
    if floor is None:
        return told
    verdict = "facts were learned" if nll < floor else "no fact was learned"
    return f"{told} Full fine-tuning's loss on facts is {nll:.3f} against {floor:.3f} for guessing: {verdict}."


def _measured_table(groups: dict[str, dict[str, Update]]) -> Table:
    rows = []
    for group, found in groups.items():
        for name, update in found.items():
            measures = summary(update.sigma)
            rows.append((group, name, *(measures[m] for m in MEASURES)))
    return Table("Spectra by module", ("update", "module", *COLUMNS), tuple(rows))


def _measured_panels(groups: dict[str, dict[str, Update]], names: list[str]) -> tuple[Panel, ...]:
    shown = names[len(names) // 2]
    spectra = {group: found[shown].sigma.tolist() for group, found in groups.items()}
    bars: list[Row] = []
    for group, found in groups.items():
        for measure, title in (("rank_90_sum", "90 % of the sum"), ("rank_90_squares", "90 % of the squares")):
            value = statistics.median(summary(update.sigma)[measure] for update in found.values())
            bars.append({"arm": group, "rank": value, "energy": title})
    by_energy = Panel(
        "Rank that holds 90 % of the energy, median over modules",
        "bars",
        tuple(bars),
        Axis("arm", ""),
        Axis("rank", "rank"),
        "energy",
    )
    return (_spectra_panel(spectra, short(shown)), by_energy)


def _spectra_panel(spectra: dict[str, list[float]], where: str = "") -> Panel:
    rows = tuple(
        {"index": i, "sigma": value / sigma[0], "arm": group}
        for group, sigma in spectra.items()
        for i, value in enumerate(sigma, 1)
        if value > 1e-6 * sigma[0] and _shown(i)
    )
    title = "Singular values over the largest" + (f", {where}" if where else "")
    return Panel(
        title, "lines", rows, Axis("index", "index", log=True), Axis("sigma", "relative size", log=True), "arm"
    )


def _shown(i: int) -> bool:
    """Thin out long spectra: every value up to 32, then one in i // 32."""
    return i <= 32 or i % (i // 32) == 0
