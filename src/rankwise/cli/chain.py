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
    from rankwise.cli.options import changes, listed, say_json, say_loading, say_text, typed

    say_loading()
    from rankwise.cli.conducting import conduct
    from rankwise.continual.conductor import run_chain
    from rankwise.continual.stream import read_stream

    own: dict[str, Any] = {"model": model, "scale": scale, "references": listed("references", references) or None}
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
        if json_:
            say_json(plan)
        else:
            say_text(text)
        return 0
    return conduct(run_chain, config, folder, command=typed("chain"), as_json=json_)
