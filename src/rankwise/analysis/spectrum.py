"""``analyze spectrum``: do facts need more rank than style? In closed form, or measured on trained updates."""

from __future__ import annotations

import statistics

from rankwise.adapters import load
from rankwise.adapters.full import Full
from rankwise.analysis.bench import Bench, Trial
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, decide, decide_share
from rankwise.analysis.measures.spectra import energy_rank, summary
from rankwise.analysis.measures.style_facts import ALPHA, RANKS, facts_spectrum, style_facts_table, style_spectrum
from rankwise.analysis.request import Request
from rankwise.analysis.updates import Update, short, update_of
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.progress import Progress

CLAIM = (
    "A change of style has few dominant singular values and new facts have a long tail, so facts need more rank "
    "(the project's seed article on rank stabilization)."
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
            "in fewer than half of these cases."
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
    nonzero = [u for u in groups["adapter"].values() if float(u.sigma.max()) > 0]
    if not nonzero:
        raise UsageError(f"the adapter in {request.adapter} is still zero in every module; train it first.")
    needed = [energy_rank(u.sigma) for u in nonzero]
    share = statistics.median(needed) / rank
    return Finding(
        analysis="spectrum",
        claim="An adapter uses fewer directions than its rank offers: a lower rank would have done.",
        setup={**bench.setup(), "data": [], "adapter": str(request.adapter), "formula": repr(handle.adapter)},
        word=decide(share <= 0.5, share > 0.8),
        rule=(
            "Holds if the median module needs at most half of the rank for 90 % of the update's squared norm, does not "
            "hold if more than four fifths."
        ),
        why=f"The median module needs {statistics.median(needed):g} of {rank} directions.",
        interpretation=(
            "An update that spends nearly all of its energy in a few directions can be compressed to that rank with "
            "little change; one with a flat spectrum uses its whole rank and may want more. The base's own weights, "
            "drawn beside it, are nearly full rank: low rank is a property of the change, not of the model."
        ),
        panels=_measured_panels(groups, names),
        tables=(_measured_table(groups),),
        numbers={"rank_90_squares": dict(zip([n for n in names], needed, strict=False)), "rank": rank},
    )


def _trained(request: Request, progress: Progress) -> Finding:
    """Full fine-tuning and LoRA at a ladder of ranks, on a style task and on a facts task."""
    tasks = dict(zip(("style", "facts"), request.tasks("word-problems", "code-book"), strict=True))
    bench = Bench(request, progress)
    names = bench.modules()
    ranks = request.ranks_or((1, 8), (1, 16))
    progress.plan(len(tasks) * (1 + len(ranks)), 0)
    full: dict[str, Trial] = {}
    adapters: dict[tuple[str, int], Trial] = {}
    for kind, data in tasks.items():
        full[kind] = bench.trial(f"full on {data}", Full(), data, look=names)
        for rank in ranks:
            adapters[kind, rank] = bench.trial(f"LoRA r={rank} on {data}", lora(rank), data, look=names)
    groups = {f"full, {kind}": trial.last for kind, trial in full.items()}
    groups |= {f"LoRA r={ranks[-1]}, {kind}": adapters[kind, ranks[-1]].last for kind in tasks}
    groups["base"] = {n: Update(W) for n, W in bench.weights(names).items()}
    style, facts = groups["full, style"], groups["full, facts"]
    more = [summary(facts[n].sigma)["entropy_rank"] > summary(style[n].sigma)["entropy_rank"] for n in names]
    recovered = {
        kind: {rank: adapters[kind, rank].gain / full[kind].gain for rank in ranks} for kind in tasks if full[kind].gain
    }
    medians = {
        kind: statistics.median(summary(groups[f"full, {kind}"][n].sigma)["entropy_rank"] for n in names)
        for kind in tasks
    }
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
        setup={**bench.setup(*tasks.values()), "modules": names, "ranks": list(ranks)},
        word=decide_share(sum(more) / len(more)),
        rule=(
            "Holds if in at least 2/3 of the modules full fine-tuning's update for the facts task has the higher "
            "entropy rank, does not hold if in at most 1/3."
        ),
        why=(
            f"The facts update has the higher entropy rank in {sum(more)} of {len(more)} modules (medians: style "
            f"{medians['style']:.1f}, facts {medians['facts']:.1f})."
        ),
        interpretation=(
            "Full fine-tuning's update has a long tail in both tasks: Adam moves every weight by about the learning "
            "rate each step, and noise of that size is full rank. So the sum of singular values asks for many "
            "directions where the sum of squares asks for few, and a high effective rank of the update does not mean "
            "that the tail is needed. The last panel is the direct test: if facts needed more rank, low ranks would "
            "recover a smaller share of full fine-tuning's gain there than on the style task."
        ),
        panels=(*_measured_panels(groups, names), held),
        tables=(_measured_table(groups),),
        caveats=(
            "One seed, few steps, one learning rate per kind of training (the middle of the quick study's grid).",
            "Early in training the update follows few gradients: its rank grows with the number of steps.",
        ),
        numbers={"share_facts_higher": sum(more) / len(more), "recovered": recovered, "median_entropy_rank": medians},
    )


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
