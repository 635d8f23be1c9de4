"""``rankwise report``: the report of a finished study, again, or several studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rankwise.cli.options import Json, say_json

if TYPE_CHECKING:
    from rankwise.studies.results.schema import AnyDocument


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="A study's folder, for instance runs/without-regret-quick; or several.")
    ],
    json_: Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Several studies: the page to write (default: comparison-A-B.html beside A).")
    ] = None,
) -> int:
    """Print a study's verdict and rewrite its report.html and figures from results.json.

    With two folders or more: arms side by side, and the difference of their test scores where base and test examples
    are the same; where they are not, why.
    """
    from rankwise.cli import console
    from rankwise.errors import UsageError
    from rankwise.report import render_table, write_report
    from rankwise.studies.results.file import read_results

    if len(folders) > 1:
        return _compare(folders, out, as_json=json_)
    if out is not None:
        raise UsageError("--out names the page of a comparison; give two study folders or more, or leave it out.")
    folder = folders[0]
    path = folder / "results.json"
    try:
        document: AnyDocument = cast("AnyDocument", read_results(path))
    except FileNotFoundError:
        what = "has not finished; repeat its command" if (folder / "study.yaml").exists() else "is not a study's folder"
        raise UsageError(f"{folder} {what} (there is no results.json).") from None
    if json_:
        say_json(document)
        return 0
    page = write_report(document, folder)
    render_table(document, console.out(), page=page)
    return 0


def _compare(folders: list[Path], out: Path | None, *, as_json: bool) -> int:
    from rankwise.cli import console
    from rankwise.report.comparison import render_comparison, write_comparison
    from rankwise.studies.results.compare import compare

    found = compare(folders)
    if as_json:
        say_json(found)
        return 0
    names = "-".join(folder.resolve().name for folder in folders)
    page = write_comparison(found, out or folders[0].parent / f"comparison-{names}.html")
    render_comparison(found, console.out(), page=page)
    return 0
