"""``rankwise export``: an adapter that another program really loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.merge import Adapter
from rankwise.cli.options import Json


def export(
    adapter: Adapter,
    for_: Annotated[str, typer.Option("--for", help="peft, vllm, sglang or gguf (llama.cpp).")],
    max_rank: Annotated[
        int | None, typer.Option(help="Largest rank the target may be given; vllm: 16, its own default.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the tensors: float32 (as trained), bfloat16, float16.")] = None,
    base: Annotated[str | None, typer.Option(help="The base model, if the adapter does not name it.")] = None,
    out: Annotated[Path | None, typer.Option(help="New folder; default ADAPTER-TARGET beside the adapter.")] = None,
    json_: Json = False,
) -> int:
    """Write an adapter in the form its target loads without silent mistakes, and prove it by its logits.

    Scales go into B (alpha = r, no rsLoRA), all modules get one rank, base-editing inits become plain LoRA of twice
    the rank without cancellation, and what has no exact low-rank form (DoRA) is cut by SVD with the loss of every
    module shown. What a target cannot hold is refused with the reason. Success means: read back by an independent
    loader, the files give the live adapter's logits.
    """
    from rankwise.cli import console
    from rankwise.cli.options import say_json, say_loading
    from rankwise.errors import unknown

    say_loading()
    from rankwise.integrations.export import TARGETS
    from rankwise.integrations.export import export as run
    from rankwise.integrations.live import open_live

    if for_ not in TARGETS:
        raise unknown("target", for_, TARGETS)
    note = None if json_ else lambda text: console.say(console.err(), text)
    target = out or adapter.parent / f"{adapter.name}-{for_}"
    console.must_be_new(target)
    done = run(open_live(adapter, base, progress=note), for_, target, max_rank=max_rank, dtype=dtype)
    if json_:
        say_json(done.to_dict())
        return 0
    screen = console.out()
    how = "exact" if done.exact else "cut by SVD"
    console.say(screen, f"{done.folder}: for {done.target}, plain LoRA of rank {done.rank} in {done.dtype}, {how}")
    if not done.exact:
        from rich.markup import escape
        from rich.table import Table

        table = Table("module", "lost")
        for module, error in done.errors.items():
            table.add_row(escape(module), f"{error:.2%}")
        screen.print(table)
    console.say(screen, done.proof.sentence())
    for remark in done.notes:
        console.say(screen, f"note: {remark}")
    console.say(screen, f"Next: {done.next_step}")
    return 0
