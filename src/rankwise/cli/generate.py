"""``rankwise generate``: what a model says, with an adapter or without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Json, Model


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What to ask; or give --file.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Prompts: a text file, one a line, or .jsonl (.json, .csv, .parquet) with a 'prompt' in each row."
        ),
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="An adapter's folder; its base is used.")] = None,
    model: Model = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.")] = 128,
    batch: Annotated[int, typer.Option(help="Prompts decoded at once.")] = 16,
    json_: Json = False,
) -> int:
    """Generate greedily: one prompt streams to the terminal, a file of prompts is decoded in batches.

    The chat template of the model is used unless --raw. The same prompt always gives the same text.
    """
    import json

    from rankwise.cli import console
    from rankwise.cli.options import say_loading
    from rankwise.errors import UsageError

    if (prompt is None) == (file is None):
        raise UsageError('generate needs one prompt or a --file of them, for instance: rankwise generate "2 + 3 = ?"')
    if raw and system is not None:
        raise UsageError("--system belongs to the chat template, which --raw leaves out; give one of them.")
    for option, value in (("--max-new-tokens", max_new_tokens), ("--batch", batch)):
        if value < 1:
            raise UsageError(f"{option} must be at least 1, found {value}.")
    from rankwise.data.prompts import prompts_in

    prompts = prompts_in(file) if file is not None else [prompt or ""]
    say_loading()
    from rankwise.data import Example, Message
    from rankwise.data.render import date_note, prompt_ids
    from rankwise.engine.generate import greedy
    from rankwise.integrations.live import open_live
    from rankwise.integrations.streaming import stream
    from rankwise.models import load_base
    from rankwise.report.clean import clean_text

    note = None if json_ else lambda text: console.say(console.err(), text)
    if adapter is not None:
        base = open_live(adapter, model, dtype=None, progress=note).base
    else:
        base = load_base(model, progress=note)
    opening = (Message("system", system),) if system is not None else ()
    if note and not raw:
        for said in date_note([Example((*opening, Message("user", prompts[0])))], base.tokenizer):
            note(said)
    ids = [
        list(base.tokenizer(text)["input_ids"])
        if raw
        else prompt_ids((*opening, Message("user", text)), base.tokenizer)
        for text in prompts
    ]
    if prompt is not None and not json_:

        def show(piece: str) -> None:
            sys.stdout.write(clean_text(piece))
            sys.stdout.flush()

        stream(base, ids[0], show, max_new_tokens=max_new_tokens)
        sys.stdout.write("\n")
        return 0
    texts = greedy(base, ids, max_new_tokens=max_new_tokens, batch=batch)
    for asked, text in zip(prompts, texts, strict=True):
        if json_:
            typer.echo(json.dumps({"prompt": asked, "text": text}, ensure_ascii=False))
        else:
            console.say(console.out(), f"> {clean_text(asked)}\n{clean_text(text)}\n")
    return 0
