"""``analyze which-matrices --study DIR``: the LoRA paper's tables 5 and 6 from a finished study. (2106.09685)"""

from __future__ import annotations

import statistics

from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.measures.wins import MARGIN, margin_of_gain
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import best, read_study, training
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.stats.verdict_words import NO_VERDICT
from rankwise.studies.results.schema import Results

ENOUGH = 3  # cells that a word needs
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
    contests = [found for cell, results in cells.items() if (found := contest(cell, rows, results))]
    if not contests:
        raise UsageError(f"{request.study} lacks arms of equal budget on one and on several matrices.")
    outcomes = [c["ahead"] for c in contests if c["ahead"] != NO_VERDICT]
    edges = len(contests) - len(outcomes)
    shown = [r for cell, results in cells.items() for r in _behind(_equal(rows, cell), results)]
    ladders = _ladders(rows)
    return Finding(
        analysis="which-matrices",
        claim=(
            "At one budget, spreading rank over several attention matrices beats spending it on one (LoRA, arXiv "
            "2106.09685, table 5)."
        ),
        setup={"study": str(request.study), "cells": list(cells), **training(cells)},
        word=judge(outcomes),
        rule=(
            f"A side is ahead in a cell if its best arm at equal budget has a selection NLL lower by more than "
            f"{MARGIN:.0%} of the better one's gain. Holds if several matrices are ahead in at least 2/3 of the cells, "
            f"does not hold if one matrix is in at least 2/3, otherwise or with fewer than {ENOUGH} cells undecided. A "
            "cell in which one of the two arms has its best learning rate at the edge of its grid has no verdict and "
            "does not count."
        ),
        why=(
            f"Several matrices are ahead in {outcomes.count('several')}, one in {outcomes.count('one')}, neither in "
            f"{outcomes.count('neither')} of {len(outcomes)} cells."
            + (f" No verdict in {edges}: a best learning rate is at the edge of its grid." if edges else "")
        ),
        interpretation=(
            "The arms behind the bars have about the same number of trained parameters, each its own best learning "
            f"rate; 0 is the best of its cell. {_ladder_words(ladders)}In models with grouped queries k and v are "
            "narrower, so the same budget gives them more rank."
        ),
        panels=(
            Panel(
                "Equal budget: how far behind the cell's best arm",
                "bars",
                tuple(shown),
                Axis("matrices", ""),
                Axis("behind", "share of the best arm's gain"),
                "cell",
            ),
            Panel(
                "Selection NLL against rank",
                "lines",
                tuple({**r, "arm": f"{r['matrices']}, {r['cell']}"} for own in ladders for r in own),
                Axis("rank", "rank", log=True),
                Axis("nll", "selection NLL, nats per token"),
                "arm",
            ),
        ),
        tables=(
            Table(
                "One matrix against several, at equal budget",
                ("cell", "best of one", "NLL", "best of several", "NLL", "margin", "ahead"),
                tuple(
                    (c["cell"], c["one"], c["one_nll"], c["several"], c["several_nll"], c["margin"], c["ahead"])
                    for c in contests
                ),
            ),
            Table(
                "Matrices and ranks (paper: WikiSQL and MNLI accuracy at 18M parameters on GPT-3)",
                ("cell", "matrices", "rank", "trained", "NLL", "paper"),
                tuple(
                    (r["cell"], r["matrices"], r["rank"], r["trained"], r["nll"], _paper(r["matrices"])) for r in rows
                ),
            ),
        ),
        caveats=(
            "One seed per learning rate, scored on the selection split on which the rate was chosen; the best "
            "arm on several matrices is held against the best on one, and luck favors the side with more arms (one).",
            "Small: see steps and cells in the set-up; ladders of ranks may be in the first cell only.",
        ),
        numbers={"rows": rows, "contests": contests},
    )


def contest(cell: str, rows: list[Row], results: Results) -> Row | None:
    """Return who is ahead in a cell at equal budget, by more than the margin; None without arms on both sides."""
    equal = _equal(rows, cell)
    low = {
        side: min((r for r in equal if ("-" in r["matrices"]) == several), key=lambda r: float(r["nll"]), default=None)
        for side, several in (("one", False), ("several", True))
    }
    one, several = low["one"], low["several"]
    if one is None or several is None:
        return None
    margin = margin_of_gain(results["base"]["selection_nll"], one["nll"], several["nll"])
    lead = one["nll"] - several["nll"]
    ahead = "several" if lead > margin else "one" if -lead > margin else "neither"
    bracketed = {arm["name"]: arm["bracketed"] for arm in results["arms"]}
    if not all(bracketed[f"{row['matrices']}-r{row['rank']}"] for row in (one, several)):
        ahead = NO_VERDICT
    return {
        "cell": cell,
        "one": one["matrices"],
        "one_nll": one["nll"],
        "several": several["matrices"],
        "several_nll": several["nll"],
        "margin": margin,
        "ahead": ahead,
    }


def judge(outcomes: list[str]) -> Word:
    """Return the word of cells in which ``several``, ``one`` or ``neither`` was ahead."""
    if len(outcomes) < ENOUGH:
        return "undecided"
    several, one = (3 * outcomes.count(side) >= 2 * len(outcomes) for side in ("several", "one"))
    return decide(several, one)


def _ladders(rows: list[Row]) -> list[list[Row]]:
    """Return the arms on the same matrices of one cell by ascending rank, where there is more than one rank."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda r: int(r["rank"])):
        groups.setdefault((row["cell"], row["matrices"]), []).append(row)
    return [own for own in groups.values() if len(own) > 1]


def _ladder_words(ladders: list[list[Row]]) -> str:
    """Say what the highest rank gains over the lowest on the same matrices."""
    told = [
        f"{low['matrices']} {low['nll'] - high['nll']:+.3f} nats from rank {low['rank']} to {high['rank']}"
        for low, *_, high in ladders
    ]
    if not told:
        return ""
    return f"More rank on the same matrices wins: {'; '.join(told)} (the paper found rank 1 to 4 enough there). "


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


def _behind(rows: list[Row], results: Results) -> list[Row]:
    """Add how far each arm of one cell is behind the best of them, as a share of its gain (0 if none gained)."""
    lowest = min((r["nll"] for r in rows), default=0.0)
    gain = results["base"]["selection_nll"] - lowest
    return [{**r, "behind": (r["nll"] - lowest) / gain if gain > 0 else 0.0} for r in rows]


def _paper(matrices: str) -> str:
    return " / ".join(f"{v:.1f}" for v in PAPER[matrices]) if matrices in PAPER else ""
