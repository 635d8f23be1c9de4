"""``rankwise ledger export``: a study's runs as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Json

app = typer.Typer(
    help="The record of a study's runs, for other tools: pandas, polars, DuckDB, a spreadsheet.",
    epilog="For instance: rankwise ledger export runs/without-regret-quick --to csv",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def root() -> None:
    """The record of a study's runs, for other tools: pandas, polars, DuckDB, a spreadsheet."""


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="A study's folder, for instance runs/without-regret-quick.")],
    to: Annotated[str, typer.Option(help="parquet, csv or jsonl.")] = "parquet",
    out: Annotated[Path | None, typer.Option(help="File for the runs (default: runs.<format> in the folder).")] = None,
    json_: Json = False,
) -> int:
    """Write one row a run (spec, scores, cost) and, beside it, one row an example of every scored split.

    Of a damaged ledger it writes what can still be read, says what is missing, and ends with exit code 3.
    """
    from rankwise.cli import console
    from rankwise.cli.options import say_json, say_text
    from rankwise.ledger.export import export as write

    notes: list[str] = []
    runs, examples = write(folder, to, out, note=notes.append)
    for text in notes:
        console.say(console.err(), f"note: {text}")
    if json_:
        say_json({"runs": str(runs), "examples": str(examples), "notes": notes})
    else:
        say_text(f"Runs: {runs}\nExamples: {examples}")
    return 3 if notes else 0
