"""``rankwise chain``: a stream of tasks, learned one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rankwise.cli.options import DryRun, Json, Model, Out, Set


def chain(
    stream: Annotated[Path, typer.Argument(help="A stream file: tasks, strategies, orders (examples/stream.yaml).")],
    model: Model = None,
    scale: Annotated[
        str | None, typer.Option(help="smoke (a random model, under two minutes), quick (default), tutorial (hours).")
    ] = None,
    references: Annotated[
        str | None, typer.Option(help="Also run sequential, joint (all tasks mixed), or both: sequential,joint.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of every order: 0, 1, ...")] = None,
    out: Out = None,
    setting: Set = None,
    json_: Json = False,
    dry_run: DryRun = False,
) -> int:
    """Learn a stream of tasks by one or several strategies and measure what is kept.

    Writes runs/<stream>-<scale>/ with report.html, results.json, R.json (every score of every example) and adapters/.
    Interrupted? The same command continues at task and step. Tasks appended to the file are learned next; finished ones
    are never trained again. A router (strategy color) works in here only: its experts are saved one by one, with their
    centroids in router.json, and export, generate and eval take one of them at a time.
    """
    import json
    import shlex
    import sys

    from rankwise.cli import console
    from rankwise.cli.options import changes, listed, say_loading

    say_loading()
    from rankwise.continual.chain import run_chain
    from rankwise.continual.stream import read_stream
    from rankwise.report import render_table, write_report

    own: dict[str, Any] = {"model": model, "scale": scale, "references": listed(references) or None}
    own["seeds"] = list(range(seeds)) if seeds is not None else None
    config = read_stream(stream, changes(setting, **own))
    folder = out or Path("runs") / f"{stream.stem}-{config.scale}"
    if dry_run:
        labels = [label for label, _ in config.chosen()]
        orders = [" > ".join(order) for order in config.orders_of()]
        runs = len(labels) * len(orders) * len(config.seeds) * len(config.tasks)
        plan = {"config": config.to_dict(), "out": str(folder), "runs": runs}
        text = (
            f"{', '.join(labels)}; orders {'; '.join(orders)}; seeds {', '.join(map(str, config.seeds))}: at most "
            f"{runs} runs of one task on {config.model}, into {folder}"
        )
        typer.echo(json.dumps(plan, ensure_ascii=False, sort_keys=True) if json_ else text)
        return 0
    progress = console.make_progress([], folder, config.to_dict())
    command = shlex.join(["rankwise", *sys.argv[1:]]) if sys.argv[1:2] == ["chain"] else "rankwise chain"
    try:
        document = run_chain(config, folder, progress=progress, command=command)
    finally:
        progress.close()
    page = write_report(document, folder)
    if json_:
        typer.echo(json.dumps(document, ensure_ascii=False, sort_keys=True))
    else:
        render_table(document, console.out(), page=page)
    return 3 if document["results"]["faults"] else 0
