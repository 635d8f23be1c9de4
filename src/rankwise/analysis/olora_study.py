"""``analyze olora --study DIR``: what a finished ``olora`` study (or a table of scores) says. (2406.01775)"""

from __future__ import annotations

import statistics
from typing import Any

from rankwise.analysis.finding import Axis, Finding, Panel, Table
from rankwise.analysis.measures.magnitudes import pearson
from rankwise.analysis.measures.wins import count_wins
from rankwise.analysis.olora_dimension import against_dimension, dimension_table
from rankwise.analysis.olora_duels import Duel, duels, leads_of_controls
from rankwise.analysis.olora_rules import CLAIM, ahead, count_steps, sooner
from rankwise.analysis.olora_scores import from_scores
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import Results, read_study, training
from rankwise.errors import UsageError
from rankwise.studies.progress import Progress

RULE = (
    "Holds if OLoRA, at its own best learning rate, has strictly the lower loss than LoRA at LoRA's own best in at "
    "least 2/3 of the cells x ranks, does not hold if in at most 1/3, otherwise or with fewer than 4 of them "
    "undecided. Faster has a word of its own: it holds if OLoRA reaches LoRA's best loss at an earlier scored step "
    "than LoRA in at least 2/3, does not hold if later or never in at least 2/3, otherwise or with fewer than 4 "
    "undecided."
)


def run(request: Request, progress: Progress) -> Finding:
    """Read the study; with ``train`` also measure each cell's intrinsic dimension."""
    if request.study is None:
        raise UsageError("analyze olora reads a finished study: give --study DIR of `rankwise study olora`, or a .csv.")
    if request.study.suffix == ".csv":
        if request.train or request.dimensions:
            raise UsageError("--train and --dimensions need --study DIR: a table of scores names no model to train.")
        return from_scores(request.study)
    if request.dimensions and not request.train:
        raise UsageError("--dimensions needs --train, which measures the intrinsic dimension of every cell.")
    cells = read_study(request.study)
    found = duels(cells)
    ours = [d for d in found if d.method == "olora"]
    if not ours:
        raise UsageError(
            f"{request.study} has no OLoRA arm beside a LoRA arm of the same rank; run `rankwise study olora`."
        )
    methods = sorted({d.method for d in found})
    own = {m: count_wins(d.own for d in found if d.method == m) for m in methods}
    shared = {m: count_wins(d.shared for d in found if d.method == m and d.shared) for m in methods}
    steps = {m: count_steps(d.steps for d in found if d.method == m) for m in methods}
    ahead_shared = [d.shared[1] - d.shared[0] for d in ours if d.shared]
    ahead_own = [d.own[1] - d.own[0] for d in ours]
    leads = {
        cell: statistics.mean(d.own[1] - d.own[0] for d in ours if d.cell == cell) for cell in {d.cell: 0 for d in ours}
    }
    dimension = against_dimension(request, progress, cells, leads) if request.train else None
    tables = [
        _words_table(ours),
        Table(
            "Wins over LoRA (strict; a tie is nobody's)",
            ("method", "own learning rates", "one shared learning rate", "sooner at LoRA's best"),
            tuple((m, str(own[m]), str(shared[m]), str(steps[m])) for m in methods),
        ),
        Table(
            "Cell by cell",
            (
                "cell",
                "rank",
                "method",
                "NLL, own rate",
                "LoRA's",
                "NLL, shared rate",
                "LoRA's",
                "at step",
                "steps to LoRA's best",
                "LoRA's",
            ),
            tuple(
                (d.cell, d.rank, d.method, *d.own, *(d.shared or (None, None)), d.shared_step, *d.steps) for d in found
            ),
        ),
        *([dimension_table(dimension)] if dimension else []),
    ]
    panels = [_ahead_panel(found)]
    points = [row for row in dimension or [] if row["d90"] is not None]
    if points:
        panels.append(
            Panel(
                "OLoRA's lead against the task's intrinsic dimension",
                "points",
                tuple({key: row[key] for key in ("cell", "d90", "ahead")} for row in points),
                Axis("d90", "d90 (DID)", log=True),
                Axis("ahead", "LoRA's NLL minus OLoRA's"),
                "cell",
            )
        )
    return Finding(
        analysis="olora",
        claim=CLAIM,
        setup={
            "study": str(request.study),
            "cells": list(cells),
            "ranks": sorted({d.rank for d in ours}),
            **training(cells),
        },
        word=ahead(own["olora"]),
        rule=RULE,
        why=(
            f"OLoRA is ahead in {own['olora']} at own learning rates and in {shared['olora']} at one shared rate. "
            f"Faster: {sooner(steps['olora'])}; it reaches LoRA's best sooner in {steps['olora']}, later or never in "
            f"{steps['olora'].losses}."
        ),
        interpretation=_interpret(ahead_shared, ahead_own, found, dimension),
        panels=tuple(panels),
        tables=tuple(tables),
        caveats=(
            "One seed per learning rate, scored on the selection split on which the rate was chosen.",
            "Steps are those at which runs were scored: a lead of less than that goes unseen.",
            *(_small(cells)),
            *(() if "milora" in methods else ("MiLoRA is left out: the study has no such arm.",)),
        ),
        numbers={
            "own": {m: vars(c) for m, c in own.items()},
            "shared": {m: vars(c) for m, c in shared.items()},
            "steps": {m: vars(c) for m, c in steps.items()},
            "faster": sooner(steps["olora"]),
            "controls": leads_of_controls(found),
            "mean_lead_shared": statistics.mean(ahead_shared) if ahead_shared else None,
            "mean_lead_own": statistics.mean(ahead_own),
            "dimension": dimension,
        },
    )


def _words_table(ours: list[Duel]) -> Table:
    """Counts of OLoRA over all, by rank and by model, with words where there is enough to decide on."""
    groups: dict[str, list[Duel]] = {"all": ours}
    for d in ours:
        groups.setdefault(f"rank {d.rank}", []).append(d)
        groups.setdefault(d.model, []).append(d)
    rows: list[tuple[str, str, str]] = []
    for name, duels_ in groups.items():
        own, steps = count_wins(d.own for d in duels_), count_steps(d.steps for d in duels_)
        shared = count_wins(d.shared for d in duels_ if d.shared)
        rows += [
            (f"lower loss at own rates, {name}", str(own), ahead(own)),
            (f"lower loss at one shared rate, {name}", str(shared), ahead(shared)),
            (f"sooner at LoRA's best, {name}", str(steps), sooner(steps)),
        ]
    return Table("OLoRA against LoRA", ("what", "OLoRA ahead", "word"), tuple(rows))


def _small(cells: dict[str, Results]) -> list[str]:
    rates = {len(arm["learning_rates"]) for results in cells.values() for arm in results["arms"]}
    steps = training(cells).get("steps")
    if steps is None:
        return []
    return [f"Small: runs of {steps} steps, {min(rates)} to {max(rates)} learning rates an arm, {len(cells)} cell(s)."]


def _interpret(shared: list[float], own: list[float], found: list[Duel], dimension: list[dict[str, Any]] | None) -> str:
    text = f"With its own learning rate for each, OLoRA's lead is {statistics.mean(own):+.3f} nats on average. "
    if shared:
        text += (
            f"At one learning rate for both, the one trained furthest and best for LoRA, it is "
            f"{statistics.mean(shared):+.3f}, up to the step in the table (a search stops poor rates). Where that "
            "is the last step, what the two leads differ by is due to the choice of learning rate, not to the init. "
        )
    if controls := leads_of_controls(found):
        means = ", ".join(f"{name} {lead:+.3f}" for name, lead in controls["means"].items())
        text += (
            f"The controls tell what of the mechanism matters: orthonormal keeps only orthonormality and loudness, "
            f"spectrum adds W's singular values, OLoRA adds W's directions. Mean leads over LoRA, at rank "
            f"{', '.join(map(str, controls['ranks']))} in {controls['cells']} cell(s): {means}; {controls['favored']}. "
        )
    if dimension:
        known = [d for d in dimension if d["d90"]]
        if len(known) > 2:
            r = pearson([d["d90"] for d in known], [d["ahead"] for d in known])
            text += f"Lead and intrinsic dimension correlate at {r:+.2f} over {len(known)} cells."
        else:
            text += "Fewer than three cells have a d90 within the dimensions tried: no correlation is given."
    return text.strip()


def _ahead_panel(found: list[Duel]) -> Panel:
    rows = [{"arm": f"{d.method} r={d.rank}", "lead": d.own[1] - d.own[0], "rate": "own rates"} for d in found]
    rows += [
        {"arm": f"{d.method} r={d.rank}", "lead": d.shared[1] - d.shared[0], "rate": "one shared rate"}
        for d in found
        if d.shared
    ]
    return Panel(
        "Lead over LoRA of the same rank (mean over cells)",
        "bars",
        tuple(_means(rows)),
        Axis("arm", ""),
        Axis("lead", "LoRA's NLL minus the arm's"),
        "rate",
    )


def _means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["rate"]), []).append(row["lead"])
    return [{"arm": arm, "rate": rate_, "lead": statistics.mean(v)} for (arm, rate_), v in groups.items()]
