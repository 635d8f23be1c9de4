"""Several models on several data sets in one study: each pair is a cell, a whole study in a folder of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rankwise.data import is_generated
from rankwise.errors import UsageError
from rankwise.execution.progress import Passing, Progress
from rankwise.studies.config import Budget, StudyConfig
from rankwise.studies.presets.resolve import PRESETS
from rankwise.studies.results.file import write_document
from rankwise.studies.results.schema import StudyDocument
from rankwise.studies.running.conduct import runs_after
from rankwise.studies.study import run_study


@dataclass(frozen=True)
class Cell:
    """One model on one data set.

    Attributes:
        without: arms of the study that this cell leaves out.
    """

    model: str
    data: str
    without: frozenset[str] = frozenset()

    @property
    def slug(self) -> str:
        """Folder name: letters, digits, dots and dashes only."""
        parts = (re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "cell" for text in (self.model, self.data))
        return "--".join(parts)

    def study(self, config: StudyConfig, cells: int = 1) -> StudyConfig:
        """Return the study of this cell, one of ``cells`` that share a budget and a limit of time evenly."""
        arms = tuple(arm for arm in config.arms if arm is config.reference_arm or arm.name not in self.without)
        rates = {arm.name: config.learning_rates[arm.name] for arm in arms}
        columns = None if cells > 1 and is_generated(self.data) else config.columns
        own = {"model": self.model, "data": self.data, "columns": columns, "arms": arms, "learning_rates": rates}
        budget: dict[str, Any] = {"budget": Budget(seconds=config.budget.seconds / cells)} if config.budget else {}
        if config.limit_seconds is not None:
            budget["limit_seconds"] = config.limit_seconds / cells
        return config.model_copy(update={**own, **budget})


class AllCells(Passing):
    """Reports the progress of all cells as one: counts go on from cell to cell instead of starting again.

    Args:
        expected: about how many runs each cell takes.
    """

    def __init__(self, inner: Progress, expected: list[int]) -> None:
        super().__init__(inner)
        self.later = list(expected)
        self.before = self.total = 0

    def next_cell(self) -> None:
        """Begin the next cell: all runs of the last one are done."""
        self.before += self.total
        self.total = 0
        self.later.pop(0)

    def plan(self, total: int, done: int) -> None:
        """Count this cell's runs after those of the cells before it, and expect those of the cells to come."""
        self.total = total
        self.inner.plan(self.before + total + sum(self.later), self.before + done)


def split_cells(models: list[str], data: list[str]) -> list[Cell]:
    """Return every pair, models outermost."""
    return [Cell(model, name) for model in models for name in data]


def study_cells(config: StudyConfig, models: list[str], data: list[str]) -> list[Cell]:
    """Return the cells of a study: what was named, or what its preset asks at this scale.

    A preset's own cells may leave out arms after the first one; cells that were named have every arm.

    Raises:
        UsageError: columns were chosen, and no data set has any.
    """
    if config.columns and all(map(is_generated, data or [config.data])):
        raise UsageError("--columns is about the rows of a file or a hub data set; name one with --data.")
    preset = PRESETS.get(config.preset)
    if data or preset is None or config.scale != "quick" or not preset.data:
        return split_cells(models or [config.model], data or [config.data])
    first, *others = split_cells(models or [config.model], list(preset.data))
    left = frozenset(arm.name for arm in config.arms[1:] if preset.first is not None and preset.first(arm))
    if len(left) >= len(config.arms) - 1:  # nothing else was asked for
        left = frozenset()
    return [first, *(replace(cell, without=left) for cell in others)]


def run_cells(
    config: StudyConfig, cells: list[Cell], out: Path, *, progress: Progress, command: str
) -> dict[str, StudyDocument]:
    """Run or continue each cell in ``out/<model>--<data>`` and write ``out/cells.json``; return documents by cell."""
    documents: dict[str, StudyDocument] = {}
    studies = [cell.study(config, len(cells)) for cell in cells]
    counted = AllCells(progress, [runs_after(own, 0) for own in studies])
    for number, (cell, own) in enumerate(zip(cells, studies, strict=True), 1):
        progress.note(f"cell {number} of {len(cells)}: {cell.model} on {cell.data}")
        counted.next_cell()
        documents[cell.slug] = run_study(own, out / cell.slug, progress=counted, command=command)
    write_document(out / "cells.json", summary(documents))
    return documents


def summary(documents: dict[str, StudyDocument]) -> dict[str, Any]:
    """Return verdict words by arm and cell, and how often each arm has the lowest score of the adapters.

    A tie counts for neither: a win is strict.
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
