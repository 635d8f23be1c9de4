"""``analyze olora --train``: OLoRA's lead beside the task's intrinsic dimension (open in 2406.01775)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Table
from rankwise.analysis.intrinsic_dim import measured
from rankwise.analysis.request import Request
from rankwise.analysis.study_files import Results
from rankwise.errors import RunError, UsageError
from rankwise.studies.cells import AllCells
from rankwise.studies.progress import Progress


def dimension_table(dimension: list[dict[str, Any]]) -> Table:
    """Return one row a cell: d90, what was measured of it, and the lead."""
    rows = tuple((row["cell"], row["d90"], row["bracket"], row["ahead"]) for row in dimension)
    return Table("Gain against intrinsic dimension", ("cell", "d90 (DID)", "measured", "OLoRA's mean lead"), rows)


def against_dimension(
    request: Request, progress: Progress, cells: dict[str, Results], leads: dict[str, float]
) -> list[dict[str, Any]]:
    """Measure every cell's intrinsic dimension in runs no longer than its study's; a cell that cannot says why.

    Args:
        leads: OLoRA's mean lead by cell.
    """
    dimensions = request.dimensions or ((128, 1024) if request.scale == "smoke" else (32, 512, 8192))
    count = 1 + len(dimensions)
    told = AllCells(progress, [count] * len(leads))
    found = []
    for cell in leads:
        results = cells[cell]
        steps = min(int(results["training"]["steps"]), int(request.setting("steps")))
        own = replace(request, model=results["cell"]["model"], data=(results["cell"]["data"],), steps=steps)
        told.next_cell()
        told.plan(count, 0)
        d90, bracket = None, ""
        try:
            bench = Bench(own, told)
            crossing = measured(bench, results["cell"]["data"], dimensions, {"DID": False}).sweeps["DID"].crossing
            d90, bracket = crossing.d90, bracket_words(*crossing.bracket)
        except (UsageError, RunError) as error:
            bracket = str(error)
        found.append({"cell": cell, "d90": d90, "bracket": bracket, "ahead": leads[cell]})
    return found


def bracket_words(below: int | None, reached: int | None) -> str:
    """Say where d90 lies: between two dimensions that were tried, above the last or up to the first."""
    if reached is None:
        return f"> {below}"
    return f"<= {reached}" if below is None else f"{below} to {reached}"
