"""``rankwise compress``: an adapter at a lower rank."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.merge import Adapter
from rankwise.cli.options import Columns, Data, Json


def compress(
    adapter: Adapter,
    rank: Annotated[int | None, typer.Option(help="Rank of every module.")] = None,
    energy: Annotated[
        float | None, typer.Option(help="Or the share of squared singular values to keep, such as 0.95.")
    ] = None,
    data: Data = None,
    columns: Columns = None,
    examples: Annotated[int, typer.Option(help="With --data: held-out examples to score every rank on.")] = 96,
    base: Annotated[str | None, typer.Option(help="The base model, if the adapter does not name it.")] = None,
    out: Annotated[Path | None, typer.Option(help="New folder; default ADAPTER-rRANK or ADAPTER-eENERGY.")] = None,
    json_: Json = False,
) -> int:
    """Cut an adapter to a rank or an energy by SVD, and show what that loses at every rank.

    The best approximation there is (Eckart and Young), for any method whose update is a matrix. With --data the table
    has the held-out loss beside the error: small singular values often cost nothing. Next: rankwise export.
    """
    from rich.table import Table

    from rankwise.cli import console
    from rankwise.cli.options import say_json, say_loading
    from rankwise.errors import UsageError

    if (rank is None) == (energy is None):
        raise UsageError("compress needs either a rank or an energy, for instance --rank 8 or --energy 0.95.")
    target = out or adapter.parent / f"{adapter.name}-{f'r{rank}' if rank else f'e{energy:g}'}"
    console.must_be_new(target)
    say_loading()
    from rankwise.data import load_test
    from rankwise.integrations.compress import compress as run
    from rankwise.integrations.live import open_live
    from rankwise.models import fitted

    note = None if json_ else lambda text: console.say(console.err(), text)
    if columns and not data:
        raise UsageError("--columns is about the rows of --data; give both.")
    live = open_live(adapter, base, progress=note)
    held = load_test(data, live.base.tokenizer, examples, columns=columns) if data else None
    held = fitted(live.base, held) if held else None
    done = run(live, target, rank=rank, energy=energy, examples=held.test if held else None)
    if json_:
        say_json({**done.to_dict(), **({"notes": list(held.notes)} if held else {})})
        return 0
    screen = console.out()
    table = Table("rank", "error of the update", *(["held-out NLL per token"] if held else []))
    for point in done.curve:
        table.add_row(str(point.rank), f"{point.error:.2%}", *([str(point.nll)] if point.nll else []))
    screen.print(table)
    for remark in held.notes if held else ():
        console.say(screen, f"note: {remark}")
    if done.base_nll:
        console.say(screen, f"bare base: {done.base_nll}")
    ranks = sorted(set(done.ranks.values()))
    shown = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    console.say(screen, f"{done.folder}: rank {shown}, {done.error:.2%} of the update lost")
    console.say(screen, f"Next: rankwise export {done.folder} --for vllm")
    return 0
