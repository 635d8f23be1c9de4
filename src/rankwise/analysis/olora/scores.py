"""``analyze olora --study SCORES.csv``: a table of final scores from elsewhere."""

from __future__ import annotations

from pathlib import Path

from rankwise.analysis.finding import Axis, Finding, Panel, Table
from rankwise.analysis.measures.wins import Count, count_wins
from rankwise.analysis.olora.rules import CLAIM, TEST, ahead, odds
from rankwise.analysis.study_files import read_scores
from rankwise.errors import UsageError

RULE = (
    "A duel is one cell and rank, won by the strictly better score: such a table has no untouched model, so no gain to "
    f"take a margin of. For the claim to hold {TEST}"
)


def from_scores(path: Path) -> Finding:
    """Count OLoRA's wins over LoRA in a table of scores.

    Raises:
        UsageError: no cell has both.
    """
    listed = read_scores(path)
    scores = {(s.cell, s.rank, s.method): s.loss for s in listed}
    models = {s.cell: s.model for s in listed}
    keys = [
        (cell, rank)
        for cell, rank in sorted({(cell, rank) for cell, rank, _ in scores})
        if (cell, rank, "olora") in scores and (cell, rank, "lora") in scores
    ]
    if not keys:
        raise UsageError(f"{path} has no cell with both methods 'lora' and 'olora'.")

    def counted(some: list[tuple[str, int]]) -> Count:
        return count_wins((scores[c, r, "olora"], scores[c, r, "lora"]) for c, r in some)

    count = counted(keys)
    by_rank = {rank: counted([k for k in keys if k[1] == rank]) for rank in sorted({r for _, r in keys})}
    by_model = {m: counted([k for k in keys if models[k[0]] == m]) for m in sorted({models[c] for c, _ in keys})}
    return Finding(
        analysis="olora",
        claim=CLAIM,
        setup={"scores": str(path), "cells": len(keys)},
        word=ahead(count),
        rule=RULE,
        why=f"OLoRA is ahead in {count}, LoRA in {count.losses} ({odds(count)}).",
        interpretation=(
            "These scores come from elsewhere: whether each method had its own best learning rate is not known here, "
            "and without that a count of wins compares learning rates as much as methods."
        ),
        panels=(
            Panel(
                "Share of cells in which OLoRA is ahead of LoRA",
                "bars",
                tuple({"rank": f"r={r}", "share": c.share} for r, c in by_rank.items()),
                Axis("rank", ""),
                Axis("share", "share of cells"),
            ),
        ),
        tables=(
            Table("Wins by rank", ("rank", "wins"), tuple((r, str(c)) for r, c in by_rank.items())),
            Table("Wins by model", ("model", "wins"), tuple((m, str(c)) for m, c in by_model.items())),
        ),
        caveats=("A table of final scores says nothing of how fast they were reached.",),
        numbers={"wins": vars(count), "by_model": {m: vars(c) for m, c in by_model.items()}},
    )
