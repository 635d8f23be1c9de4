"""``analyze which-matrices --study DIR``: the LoRA paper's tables 5 and 6 from a finished study. (2106.09685)"""

from __future__ import annotations

import statistics

from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, decide_share
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import Results, best, read_study
from rankwise.errors import UsageError
from rankwise.studies.progress import Progress

EQUAL = 0.15  # ranks are whole: budgets within this share of the middle one count as equal
PAPER = {"q": (70.4, 91.0), "k": (70.0, 90.8), "v": (73.0, 91.0), "o": (73.2, 91.3), "q-k": (71.4, 91.3)}
PAPER |= {"q-v": (73.7, 91.3), "q-k-v-o": (73.7, 91.7)}


def run(request: Request, progress: Progress) -> Finding:
    """Tabulate matrices x rank and compare spreading a budget with spending it on one matrix."""
    if request.study is None:
        raise UsageError(
            "analyze which-matrices reads a finished study: give --study DIR of `rankwise study which-matrices`."
        )
    cells = read_study(request.study)
    rows = [row for cell, results in cells.items() for row in _rows(cell, results)]
    if not rows:
        raise UsageError(f"{request.study} has no arms by attention matrix; run `rankwise study which-matrices`.")
    spread_wins = []
    for cell in cells:
        equal = _equal(rows, cell)
        single = min((r["nll"] for r in equal if "-" not in r["matrices"]), default=None)
        several = min((r["nll"] for r in equal if "-" in r["matrices"]), default=None)
        if single is not None and several is not None:
            spread_wins.append(several < single)
    if not spread_wins:
        raise UsageError(f"{request.study} lacks arms of equal budget on one and on several matrices.")
    shown = [r for cell in cells for r in _equal(rows, cell)]
    return Finding(
        analysis="which-matrices",
        claim=(
            "At one budget, spreading rank over several attention matrices beats spending it on one (LoRA, arXiv "
            "2106.09685, table 5)."
        ),
        setup={"study": str(request.study), "cells": list(cells)},
        word=decide_share(sum(spread_wins) / len(spread_wins)),
        rule=(
            "Holds if in at least 2/3 of the cells the best of the arms on several matrices has a strictly lower "
            "selection NLL than the best of those on one, at equal budget; does not hold if in at most 1/3."
        ),
        why=f"Several matrices are ahead in {sum(spread_wins)} of {len(spread_wins)} cells.",
        interpretation=(
            "The bars all have about the same number of trained parameters, each arm at its own best learning rate. "
            "The ladder shows what more rank buys on the same matrices; the paper found that rank 1 to 4 was enough "
            "there. In models with grouped queries k and v are narrower, so the same budget gives them more rank."
        ),
        panels=(
            Panel(
                "Selection NLL at equal budget (mean over cells)",
                "bars",
                tuple(_means(shown)),
                Axis("matrices", ""),
                Axis("nll", "nats per token"),
            ),
            Panel(
                "Selection NLL against rank",
                "lines",
                tuple(
                    {**r, "arm": f"{r['matrices']}, {r['cell']}"} for r in sorted(rows, key=lambda r: int(r["rank"]))
                ),
                Axis("rank", "rank", log=True),
                Axis("nll", "selection NLL, nats per token"),
                "arm",
            ),
        ),
        tables=(
            Table(
                "Matrices and ranks (paper: WikiSQL and MNLI accuracy at 18M parameters on GPT-3)",
                ("cell", "matrices", "rank", "trained", "NLL", "paper"),
                tuple(
                    (r["cell"], r["matrices"], r["rank"], r["trained"], r["nll"], _paper(r["matrices"])) for r in rows
                ),
            ),
        ),
        caveats=("One seed per learning rate, scored on the selection split on which the rate was chosen.",),
        numbers={"rows": rows},
    )


def _rows(cell: str, results: Results) -> list[Row]:
    found = []
    for arm in results["arms"]:
        matrices, _, rank = arm["name"].rpartition("-r")
        run_ = best(arm)
        if matrices and set(matrices.split("-")) <= set("qkvo") and run_:
            nll = run_["selection_nll"]
            found.append(
                {"cell": cell, "matrices": matrices, "rank": int(rank), "trained": arm["trainable"], "nll": nll}
            )
    return found


def _equal(rows: list[Row], cell: str) -> list[Row]:
    own = [r for r in rows if r["cell"] == cell]
    middle = statistics.median(r["trained"] for r in own) if own else 0
    return [r for r in own if abs(r["trained"] - middle) <= EQUAL * middle]


def _means(rows: list[Row]) -> list[Row]:
    names = dict.fromkeys(r["matrices"] for r in rows)
    return [{"matrices": n, "nll": statistics.mean(r["nll"] for r in rows if r["matrices"] == n)} for n in names]


def _paper(matrices: str) -> str:
    return " / ".join(f"{v:.1f}" for v in PAPER[matrices]) if matrices in PAPER else ""
