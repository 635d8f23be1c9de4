"""Several models on several data sets in one study: each pair is a cell, a whole study in a folder of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.files import write_json
from rankwise.studies.config import Budget, StudyConfig
from rankwise.studies.progress import Progress
from rankwise.studies.study import Document, run_study


@dataclass(frozen=True)
class Cell:
    """One model on one data set."""

    model: str
    data: str

    @property
    def slug(self) -> str:
        """Folder name: letters, digits, dots and dashes only."""
        parts = (re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "cell" for text in (self.model, self.data))
        return "--".join(parts)


def split_cells(models: list[str], data: list[str]) -> list[Cell]:
    """Return every pair, models outermost."""
    return [Cell(model, name) for model in models for name in data]


def run_cells(
    config: StudyConfig, cells: list[Cell], out: Path, *, progress: Progress, command: str
) -> dict[str, Document]:
    """Run or continue each cell in ``out/<model>--<data>`` and write ``out/cells.json``; return documents by cell."""
    documents: dict[str, Document] = {}
    for number, cell in enumerate(cells, 1):
        progress.note(f"cell {number} of {len(cells)}: {cell.model} on {cell.data}")
        own = config.model_copy(update={"model": cell.model, "data": cell.data})
        if config.budget:
            own = own.model_copy(update={"budget": Budget(seconds=config.budget.seconds / len(cells))})
        documents[cell.slug] = run_study(own, out / cell.slug, progress=progress, command=command)
    write_json(out / "cells.json", summary(documents))
    return documents


def summary(documents: dict[str, Document]) -> dict[str, Any]:
    """Return verdict words by arm and cell, and how often each arm has the lowest score of the adapters.

    A tie counts for nobody: a win is strict.
    """
    words: dict[str, dict[str, str]] = {}
    wins: dict[str, int] = {}
    for slug, document in documents.items():
        scores = {}
        for arm in document["results"]["arms"]:
            words.setdefault(arm["name"], {})[slug] = arm["verdict"]["word"]
            wins.setdefault(arm["name"], 0)
            best = [r["selection_nll"] for r in arm["learning_rates"] if r["selection_nll"] is not None]
            if best and not arm["reference"]:
                scores[arm["name"]] = min(best)
        lowest = min(scores.values(), default=None)
        winners = [name for name, score in scores.items() if score == lowest]
        if len(winners) == 1:
            wins[winners[0]] += 1
    recommended = {slug: d["results"]["verdict"]["recommended"] for slug, d in documents.items()}
    return {"cells": list(documents), "verdicts": words, "wins": wins, "recommended": recommended}
