"""Reads finished studies for the analyses that look at them: one study, several cells, or a file of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.data.readers import rows_of
from rankwise.errors import UsageError
from rankwise.studies.results.file import read_cells, read_results
from rankwise.studies.results.schema import Arm, Results, Run

COLUMNS = ("model", "task", "rank", "method")


@dataclass(frozen=True)
class ScoreRow:
    """One score from elsewhere; ``loss`` is lower-is-better (a score that is better when higher comes negated)."""

    cell: str
    model: str
    rank: int
    method: str
    loss: float


def read_study(folder: Path) -> dict[str, Results]:
    """Return the ``results`` of a study folder by cell, one cell or many.

    Raises:
        UsageError: not a finished study.
    """
    if (folder / "cells.json").exists():
        slugs = read_cells(folder / "cells.json")
        return {slug: _results(folder / slug) for slug in slugs}
    found = _results(folder)
    return {f"{found['cell']['model']} on {found['cell']['data']}": found}


def read_scores(path: Path) -> list[ScoreRow]:
    """Return scores from a .csv with columns model, task, rank, method, and ``score`` (higher is better) or ``nll``.

    Raises:
        UsageError: no such file, a missing column, or a value that is not a number.
    """
    rows = rows_of(path)
    first = rows[0][1]
    value = "nll" if "nll" in first else "score"
    if missing := [c for c in (*COLUMNS, value) if c not in first]:
        raise UsageError(f"{path} lacks the column {missing[0]!r}; it needs {', '.join(COLUMNS)} and score or nll.")
    scores = []
    for where, row in rows:
        try:
            sign = 1.0 if value == "nll" else -1.0
            own = (f"{row['model']} on {row['task']}", row["model"], int(row["rank"]), row["method"].strip().lower())
            scores.append(ScoreRow(*own, sign * float(row[value])))
        except (TypeError, ValueError, AttributeError):
            raise UsageError(f"{where}: rank and {value} must be numbers.") from None
    return scores


def training(cells: dict[str, Results]) -> dict[str, Any]:
    """Return steps, batch and dtype of a study, as a finding's set-up shows them; all its cells are trained alike."""
    found: Mapping[str, Any] = next(iter(cells.values())).get("training", {})
    return {name: found[name] for name in ("steps", "batch", "dtype") if name in found}


def best(arm: Arm) -> Run | None:
    """Return an arm's best finished screening run."""
    done = [(run["selection_nll"], place) for place, run in enumerate(arm["learning_rates"])]
    lowest = min(((nll, place) for nll, place in done if nll is not None), default=None)
    return arm["learning_rates"][lowest[1]] if lowest else None


def steps_to(curve: Sequence[Sequence[float]], base: float, threshold: float) -> float | None:
    """Return the step at which a curve of (step, loss) first comes down to a loss; None when it never does.

    Between two scored steps it is interpolated linearly; step 0 is the untouched model with the loss ``base``.
    """
    if base <= threshold:
        return 0.0
    before, above = 0.0, base
    for step, nll in curve:
        if nll <= threshold:
            return before + (step - before) * (above - threshold) / (above - nll)
        before, above = step, nll
    return None


def _results(folder: Path) -> Results:
    path = folder / "results.json"
    if not path.exists():
        raise UsageError(f"{folder} holds no finished study (no results.json); give the folder of `rankwise study`.")
    results = read_results(path)["results"]
    if kind := results.get("kind"):
        raise UsageError(
            f"{path} is of kind {kind!r}, which has no arms beside a reference; give another study's folder."
        )
    found: Results = results
    return found
