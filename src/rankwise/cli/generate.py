"""``rankwise generate``: what a model says, with an adapter or without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Json, Model, say_json


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
    raw: Annotated[
        bool | None,
        typer.Option("--raw/--chat", help="Continue the text as it is, or answer it as a turn; default: as trained."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep-control-tokens", help="Let prompts hold control tokens (<|im_end|>); else they are text."),
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.")] = 128,
    batch: Annotated[int, typer.Option(help="Prompts decoded at once.")] = 16,
    json_: Json = False,
) -> int:
    """Generate greedily: one prompt streams to the terminal, a file of prompts is decoded in batches.

    A prompt is written as the adapter's training data were, else as a turn by the chat template. The same prompt
    always gives the same text.
    """

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
    from rankwise.data import InputForm, asked_in
    from rankwise.data.control import control_tokens
    from rankwise.data.render import date_note, prompt_ids
    from rankwise.engine.evaluation.generate import greedy
    from rankwise.engine.evaluation.patience import LONG
    from rankwise.integrations.live import open_live
    from rankwise.integrations.streaming import stream
    from rankwise.models import load_base, read_form
    from rankwise.report.clean import clean_text

    note = None if json_ else lambda text: console.say(console.err(), text)
    if adapter is not None:
        live = open_live(adapter, model, dtype=None, progress=note)
        base, form = live.base, live.form
    else:
        base, form = load_base(model, progress=note), read_form(Path(model or "")) if model else None
    if raw is not None:
        form = InputForm(not raw, form.system if form and form.chat else None)
    if system is not None and form is not None and not form.chat:
        raise UsageError("--system belongs to conversations, but this adapter was trained on plain text; add --chat.")
    if note and form is None and not base.tokenizer.chat_template:
        note("no chat template: a line break follows the prompt; --raw continues the text as it is")
    turns = [asked_in(form, text, system) for text in prompts]
    if note:
        for said in date_note(turns[:1], base.tokenizer):
            note(said)
    spelled = {name for one in turns for name in control_tokens(base.tokenizer).spelled(one)}
    if note and spelled and not keep:
        note(f"Read as text: {', '.join(sorted(spelled))}. With --keep-control-tokens they are control tokens.")
    ids = [prompt_ids(one.messages, base.tokenizer, chat=one.chat, keep=keep) for one in turns]
    if prompt is not None and not json_:

        def show(piece: str) -> None:
            sys.stdout.write(clean_text(piece))
            sys.stdout.flush()

        if note and len(ids[0]) > LONG:
            note(f"Reading {len(ids[0]):,} tokens; the first word comes after that.")
        stream(base, ids[0], show, max_new_tokens=max_new_tokens)
        sys.stdout.write("\n")
        return 0
    texts = greedy(base, ids, max_new_tokens=max_new_tokens, batch=batch, tell=note)
    for asked, text in zip(prompts, texts, strict=True):
        if json_:
            say_json({"prompt": asked, "text": text}, sort=False)
        else:
            console.say(console.out(), f"> {clean_text(asked)}\n{clean_text(text)}\n")
    return 0
