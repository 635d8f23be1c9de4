"""``rankwise eval``: how good a model or an adapter is on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankwise.cli.options import Columns, Data, Json, Model, Seed


def eval_(
    adapter: Annotated[Path | None, typer.Argument(help="An adapter's folder; left out, the model alone.")] = None,
    model: Model = None,
    data: Data = None,
    columns: Columns = None,
    examples: Annotated[int, typer.Option(help="Test examples, at most.")] = 96,
    answers: Annotated[int, typer.Option(help="Questions to answer for exact match, at most; 0 for none.")] = 32,
    max_length: Annotated[int, typer.Option(help="Tokens per example.")] = 256,
    seed: Seed = None,
    json_: Json = False,
) -> int:
    """Score an adapter beside its bare base on the test split: loss per token and exact match, with intervals.

    The loss is the negative log-likelihood per trained token, in nats; the difference is paired, example by example.
    Exact match decodes greedily and compares final answers (after ####, after </think>, or a short reply).
    """
    import json
    import shlex

    from rankwise.cli import console
    from rankwise.cli.options import say_loading
    from rankwise.errors import UsageError

    for option, value, least in (("--examples", examples, 1), ("--answers", answers, 0)):
        if value < least:
            raise UsageError(f"{option} must be at least {least}, found {value}.")
    say_loading()
    from rankwise.data import load_test
    from rankwise.integrations.live import open_live
    from rankwise.integrations.scoring import score
    from rankwise.models import fitted, load_base

    note = None if json_ else lambda text: console.say(console.err(), text)
    if adapter is not None:
        live = open_live(adapter, model, dtype=None, progress=note)
        base, handle = live.base, live.handle
    else:
        base, handle = load_base(model, progress=note), None
    spec = data or "word-problems"
    held = load_test(spec, base.tokenizer, examples, seed=seed or 0, max_length=max_length, columns=columns)
    held = fitted(base, held, front=handle.adapter.front if handle else 0)
    found = score(base, handle, held.test, answers)
    if json_:
        about = {"model": base.name, "data": spec, "notes": list(held.notes)}
        typer.echo(json.dumps({**about, **found.to_dict()}, ensure_ascii=False))
        return 0
    screen = console.out()
    for remark in held.notes:
        console.say(screen, f"note: {remark}")
    for name, scores in (("base", found.base), ("adapter", found.adapter)):
        if scores is not None:
            console.say(screen, f"{name}: NLL per token {scores.nll}")
            right = str(scores.right) if scores.right else "not asked for" if not answers else "no short answers here"
            console.say(screen, f"{name}: exact match {right}")
    if found.difference is not None:
        console.say(screen, f"difference in NLL, adapter less base: {found.difference}")
        console.say(screen, f"Next: rankwise export {adapter} --for peft")
    else:
        said = ["--data", spec, *(["--columns", columns] if columns else [])]
        console.say(screen, f"Next: {shlex.join(['rankwise', 'train', *said])}")
    return 0
