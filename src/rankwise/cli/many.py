"""Several cells: one table of verdicts, each cell with a report of its own."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from rankwise.cli import console
from rankwise.cli.options import say_json
from rankwise.report import write_report
from rankwise.report.next_step import analysis_step
from rankwise.studies.cells import Cell, run_cells, summary
from rankwise.studies.config import StudyConfig


def study_cells(
    config: StudyConfig, cells: list[Cell], folder: Path, *, command: str, as_json: bool, report_to: list[str]
) -> int:
    """Run every cell, write the reports, print verdicts by arm and cell; return the exit code."""
    with console.watching(folder, config.to_dict(), report_to) as progress:
        documents = run_cells(config, cells, folder, progress=progress, command=command)
    pages = [write_report(document, folder / slug) for slug, document in documents.items()]
    found = summary(documents)
    if as_json:
        say_json(found)
    else:
        screen = console.out()
        table = Table("arm", *(escape(f"{c.model} on {c.data}") for c in cells), "lowest selection NLL")
        for arm, words in found["verdicts"].items():
            table.add_row(escape(arm), *(words.get(slug, "-") for slug in documents), str(found["wins"][arm]))
        screen.print(table)
        for page in pages:
            screen.print(escape(f"Report: {page}"), highlight=False, soft_wrap=True)
        if step := analysis_step(next(iter(documents.values()))["results"], str(folder)):
            screen.print(f"{step.why}\n  [bold]{escape(step.command)}[/]", highlight=False, soft_wrap=True)
    return 3 if any(document["results"]["faults"] for document in documents.values()) else 0
