"""``analyze olora --train``: OLoRA's lead beside the task's intrinsic dimension (open in 2406.01775)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Table
from rankwise.analysis.intrinsic_dim import measured, moving, usual_dimensions
from rankwise.analysis.measures.projection import Crossing
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import Results
from rankwise.errors import RunError, UsageError
from rankwise.execution.progress import Progress
from rankwise.studies.cells import AllCells


def dimension_table(dimension: list[dict[str, Any]]) -> Table:
    """Return one row a cell: d90, what was measured of it, and the lead."""
    rows = tuple((row["cell"], row["d90"], row["bracket"], row["ahead"]) for row in dimension)
    return Table("Gain against intrinsic dimension", ("cell", "d90 (DID)", "measured", "OLoRA's mean lead"), rows)


def tried(request: Request, size: int) -> tuple[int, ...]:
    """Return the dimensions for ``size`` weights that may move: three, with the two of ``intrinsic-dim`` on top.

    None of the quick study's three data sets came to half of the gain with 8,192 numbers, so no run goes below that.
    """
    return request.dimensions or usual_dimensions(16 if request.scale == "smoke" else 8192, size)


def against_dimension(
    request: Request, progress: Progress, cells: dict[str, Results], leads: dict[str, float]
) -> list[dict[str, Any]]:
    """Measure every cell's intrinsic dimension in runs no longer than its study's; a cell that cannot says why.

    Args:
        leads: OLoRA's mean lead by cell.
    """
    expected = 1 + (len(request.dimensions) or 3)
    told = AllCells(progress, [expected] * len(leads))
    found = []
    for cell in leads:
        results = cells[cell]
        steps = min(int(results["training"]["steps"]), int(request.setting("steps")))
        own = replace(request, model=results["cell"]["model"], data=(results["cell"]["data"],), steps=steps)
        told.next_cell()
        told.plan(expected, 0)
        d90, bracket = None, ""
        try:
            bench = Bench(own, told)
            dimensions = tried(request, moving(bench)[1])
            told.plan(1 + len(dimensions), 0)
            crossing = measured(bench, results["cell"]["data"], dimensions, {"DID": False}).sweeps["DID"].crossing
            d90, bracket = between(crossing), bracket_words(*crossing.bracket)
        except (UsageError, RunError) as error:
            bracket = str(error)
        found.append({"cell": cell, "d90": d90, "bracket": bracket, "ahead": leads[cell]})
    return found


def between(crossing: Crossing) -> float | None:
    """Return d90 where it was bracketed from both sides; a bound is no value to draw or to correlate."""
    return None if None in crossing.bracket else crossing.d90


def bracket_words(below: int | None, reached: int | None) -> str:
    """Say where d90 lies: between two dimensions that were tried, above the last or up to the first."""
    if below is None and reached is None:
        return "full fine-tuning gained nothing"
    if reached is None:
        return f"> {below}"
    return f"<= {reached}" if below is None else f"{below} to {reached}"
