"""``rankwise analyze``: hold a published claim against one's own model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rankwise.cli.options import Columns, Json, Model, Steps


def analyze(
    name: Annotated[
        str | None,
        typer.Argument(
            help="scale, spectrum, subspace, weights, intrinsic-dim, kernel, forgetting, asymmetry, taxonomy, cycles, "
            "toys; or olora, which-matrices with --study. Without a name: the list."
        ),
    ] = None,
    model: Model = None,
    data: Annotated[
        str | None,
        typer.Option(help="One data set, or two as A,B where tasks are compared (forgetting: TARGET,SOURCE)."),
    ] = None,
    columns: Columns = None,
    scale: Annotated[
        str | None, typer.Option(help="smoke (seconds, random model) or quick (default, at most five minutes).")
    ] = None,
    ranks: Annotated[str | None, typer.Option(help="Ranks, such as 1,16,128.")] = None,
    lr: Annotated[float | None, typer.Option(help="LoRA's learning rate; others keep their usual ratio to it.")] = None,
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(help="Seed of data, starts and order.")] = None,
    adapter: Annotated[Path | None, typer.Option(help="spectrum: look at this saved adapter.")] = None,
    train: Annotated[bool, typer.Option("--train", help="spectrum, olora: also train what is looked at.")] = False,
    study: Annotated[
        Path | None, typer.Option(help="olora, which-matrices: a finished study; olora also takes a .csv of scores.")
    ] = None,
    dimensions: Annotated[
        str | None, typer.Option(help="intrinsic-dim: sizes of the subspace, such as 32,256.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="asymmetry, kernel: samples N in the bounds.")] = None,
    outputs: Annotated[int | None, typer.Option(help="kernel: outputs K in min_rank.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figure, page and JSON; default runs/analyze-NAME.")
    ] = None,
    json_: Json = False,
) -> int:
    """Measure one published claim on a model and say whether it holds there, by a stated rule.

    Writes finding.html, figure.png, figure.svg and finding.json. Training starts anew at each call.
    """
    import json

    from rich.markup import escape

    from rankwise.cli import console
    from rankwise.cli.options import listed, say_loading, typed
    from rankwise.errors import UsageError

    if name is not None:
        folder = out or Path("runs") / f"analyze-{name}"
        _writable(folder)
    values: dict[str, Any] = {
        "model": model,
        "data": tuple(listed("data", data)) or None,
        "columns": columns,
        "scale": scale,
        "ranks": _whole("ranks", listed("ranks", ranks)),
        "lr": lr,
        "steps": steps,
        "seed": seed,
        "adapter": adapter,
        "train": train or None,
        "study": study,
        "dimensions": _whole("dimensions", listed("dimensions", dimensions)),
        "samples": samples,
        "outputs": outputs,
    }
    given = {key: value for key, value in values.items() if value is not None}
    say_loading()
    from rankwise.analysis import ANALYSES
    from rankwise.analysis import analyze as measure
    from rankwise.analysis.request import Request

    if name is None:
        if given or out is not None:
            raise UsageError(f"analyze needs a name before its options: {', '.join(ANALYSES)}.")
        questions = {key: analysis.question for key, analysis in ANALYSES.items()}
        lines = [f"{key:15} {question}" for key, question in questions.items()]
        typer.echo(json.dumps(questions) if json_ else "\n".join(lines))
        return 0
    request = Request(**given, given=frozenset(given))
    with console.watching(folder, {}) as progress:
        finding = measure(name, request, progress)
    from rankwise.report.findings import setup_lines, shown_tables, write_finding

    page = write_finding(finding, folder, typed("analyze", f"rankwise analyze {name}"))
    if json_:
        typer.echo((folder / "finding.json").read_text(encoding="utf-8").strip())
        return 0
    screen = console.out()
    told = [
        finding.claim,
        f"Set-up: {'; '.join(f'{key} {value}' for key, value in setup_lines(finding))}",
        f"{finding.word.capitalize()}. {finding.why}",
        f"Rule: {finding.rule}",
        finding.interpretation,
    ]
    for text in (*told, *(f"Caution: {caveat}" for caveat in finding.caveats)):
        screen.print(escape(text) + "\n", highlight=False)
    for table in shown_tables(finding):
        screen.print(_drawn(table), highlight=False)
    screen.print(escape(f"Page: {page}"), highlight=False)
    return 0


def _drawn(table: Any) -> Any:
    """Return a finding's table for the terminal, its first rows where it is long."""
    from rich.markup import escape
    from rich.table import Table

    from rankwise.report.findings import TERMINAL_ROWS, table_rows

    rows = table_rows(table)
    more = f"{len(rows) - TERMINAL_ROWS} more rows are on the page" if len(rows) > TERMINAL_ROWS else None
    drawn = Table(title=escape(table.title), caption=more, box=None, title_justify="left", caption_justify="left")
    for column in table.columns:
        drawn.add_column(escape(column), overflow="fold")
    for row in rows[:TERMINAL_ROWS]:
        drawn.add_row(*map(escape, row))
    return drawn


def _writable(folder: Path) -> None:
    """Refuse an output folder that is none or cannot be written to, before anything is loaded; nothing is left there.

    Raises:
        UsageError: naming the path that is in the way.
    """
    import tempfile

    from rankwise.errors import UsageError

    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        if not there.is_dir():
            raise UsageError(f"{there} is a file, not a folder, so nothing can be written there; give another --out.")
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror or error}; give another --out.") from None


def _whole(option: str, texts: list[str]) -> tuple[int, ...] | None:
    from rankwise.errors import UsageError

    if not texts:
        return None
    try:
        return tuple(int(text) for text in texts)
    except ValueError:
        raise UsageError(f"--{option} needs whole numbers such as 1,16, found {','.join(texts)!r}.") from None
