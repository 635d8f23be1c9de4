"""``rankwise report``: the report of a finished study, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Json


def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, for instance runs/without-regret-quick.")],
    json_: Json = False,
) -> int:
    """Print a study's verdict and rewrite its report.html and figures from results.json."""
    import json

    from rankwise.cli import console
    from rankwise.errors import UsageError
    from rankwise.report import render_table, write_report

    path = folder / "results.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "has not finished; repeat its command" if (folder / "study.yaml").exists() else "is not a study's folder"
        raise UsageError(f"{folder} {what} (there is no results.json).") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} cannot be read ({error}); run the study again, finished runs are kept.") from None
    if json_:
        typer.echo(json.dumps(document, ensure_ascii=False, sort_keys=True))
        return 0
    page = write_report(document, folder)
    render_table(document, console.out(), page=page)
    return 0
