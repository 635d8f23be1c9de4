"""``analyze olora --study DIR``: what a finished ``olora`` study (or a table of scores) says. (2406.01775)"""

from __future__ import annotations

import statistics
from typing import Any

from rankwise.analysis.finding import Axis, Finding, Panel
from rankwise.analysis.olora.dimension import against_dimension, dimension_table
from rankwise.analysis.olora.duels import KINDS, beyond, duels, leads_of_controls, strictly
from rankwise.analysis.olora.rules import CLAIM, RULE, ahead
from rankwise.analysis.olora.scores import from_scores
from rankwise.analysis.olora.shown import panels, tables
from rankwise.analysis.olora.words import caveats, interpret, why
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import read_study, training
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress


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
    leads = {cell: statistics.mean(d.lead for d in ours if d.cell == cell) for cell in {d.cell: 0 for d in ours}}
    dimension = against_dimension(request, progress, cells, leads) if request.train else None
    drawn = panels(found, ours)
    points = [row for row in dimension or [] if row["d90"] is not None]
    if points:
        drawn.append(
            Panel(
                "OLoRA's lead against the task's intrinsic dimension",
                "points",
                tuple({key: row[key] for key in ("cell", "d90", "ahead")} for row in points),
                Axis("d90", "d90 (DID)", log=True),
                Axis("ahead", "LoRA's NLL minus OLoRA's"),
                "cell",
            )
        )
    methods = sorted({d.method for d in found})
    strict: dict[str, Any] = {
        kind: {m: vars(strictly((d for d in found if d.method == m), kind)) for m in methods} for kind in KINDS
    }
    at_one = [d.lead_shared for d in ours if d.lead_shared is not None]
    return Finding(
        analysis="olora",
        claim=CLAIM,
        setup={
            "study": str(request.study),
            "cells": list(cells),
            "ranks": sorted({d.rank for d in ours}),
            **training(cells),
        },
        word=ahead(beyond(ours, "own")),
        rule=RULE,
        why=why(ours),
        interpretation=interpret(cells, found, ours, dimension),
        panels=tuple(drawn),
        tables=(*tables(found, ours), *([dimension_table(dimension)] if dimension else [])),
        caveats=caveats(cells, set(methods)),
        numbers={
            **strict,
            "beyond": {kind: vars(beyond(ours, kind)) | {"p": beyond(ours, kind).p} for kind in KINDS},
            "faster": ahead(beyond(ours, "steps")),
            "controls": leads_of_controls(found),
            "mean_lead_shared": statistics.mean(at_one) if at_one else None,
            "mean_lead_own": statistics.mean(d.lead for d in ours),
            "dimension": dimension,
        },
    )
