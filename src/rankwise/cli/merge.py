"""``rankwise merge``: base plus adapter as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Json

Adapter = Annotated[Path, typer.Argument(help="An adapter's folder (adapter_config.json), ours or PEFT's.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; left as it is if not given.")]


def merge(
    base: Annotated[
        str, typer.Argument(help="'default', a model folder, or a hub id: what the adapter was trained on.")
    ],
    adapter: Adapter,
    out: Annotated[Path, typer.Option(help="Folder for the merged model; it must not exist yet.")],
    dtype: Dtype = None,
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Compare logits with the live adapter; default: if memory allows."),
    ] = None,
    json_: Json = False,
) -> int:
    """Put an adapter into the weights of its base: a model that loads anywhere, without adapter support.

    Weights are computed in float32 and rounded once, one tensor at a time: memory stays below one file of the model.
    Tokenizer and generation settings come along. The base is never changed, and the new folder appears whole or not
    at all. Next: rankwise generate --model OUT, or llama.cpp's convert_hf_to_gguf.py.
    """
    import shlex

    from rankwise.cli import console
    from rankwise.cli.options import say_json, say_loading

    say_loading()
    from rankwise.integrations.merge import merge as run

    note = None if json_ else lambda text: console.say(console.err(), text)
    done = run(base, adapter, out, dtype=dtype, check=verify, progress=note)
    if json_:
        say_json(done.to_dict())
        return 0
    screen = console.out()
    console.say(screen, f"merged {done.changed} of {done.tensors} tensors into {done.folder}")
    console.say(screen, done.proof.sentence() if done.proof else f"logits not checked: {done.why_not}")
    for remark in done.notes:
        console.say(screen, f"note: {remark}")
    console.say(screen, f'Next: rankwise generate "..." --model {shlex.quote(str(done.folder))}')
    return 0
