"""``rankwise doctor``: an honest look at environment, model, data and loss mask before any training."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankwise.cli.options import Columns, Data, Json, MaxLength, Model, command, say_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def doctor(
    model: Model = None,
    data: Data = None,
    columns: Columns = None,
    max_length: MaxLength = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of how data are read, such as --set completion_style=think."),
    ] = None,
    json_: Json = False,
) -> int:
    """Check versions, devices, the model and the data; show one example with the tokens that are trained on."""
    import shlex

    from rankwise.cli import console
    from rankwise.cli.options import changes
    from rankwise.studies.checkup import checkup

    settings = changes(setting, columns=columns, max_length=max_length)
    found = checkup(model or "default", data or "word-problems", settings)
    if json_:
        say_json(found, sort=False)
        return 0
    screen = console.out()
    for section in ("environment", "model"):
        screen.print(f"[bold]{section}[/bold]")
        _facts(screen, found[section])
    _data(screen, found["data"])
    _mask(screen, found["preview"])
    screen.print("[bold]warnings[/bold]" + ("" if found["warnings"] else ": none"))
    for warning in found["warnings"]:
        _line(screen, f"  - {warning}", style="yellow")
    words = command("study", model=model, data=data, columns=columns, max_length=max_length)
    _line(screen, f"Next: {' '.join([words, *(f'--set {shlex.quote(text)}' for text in setting or [])])}")
    return 0


def _data(screen: Console, data: dict[str, Any]) -> None:
    """Facts about the data, and a table with a row for each split."""
    screen.print("[bold]data[/bold]")
    facts = {
        "name": data["name"],
        "form": data["form"],
        "columns not used": ", ".join(data["columns_not_used"]) or "none",
        "in more than one split": f"{data['duplicates_across_splits']:,} examples (removed from training), "
        f"{data['prompts_across_splits']:,} prompts with another reply",
        "NLL of the untouched model": f"{data['untouched_nll']:.3f} per trained token "
        f"({data['untouched_nll_examples']} selection examples)",
    }
    _facts(screen, facts)
    screen.print(_lengths(data))
    for note in data["notes"]:
        if not note.startswith("columns not used"):
            _line(screen, f"  note: {note}")
    if data["control_tokens"]:
        _control(screen, data["control_tokens"])


def _control(screen: Console, found: dict[str, Any]) -> None:
    """The first row that spells control tokens, token by token, in both readings; the one in use is marked."""
    screen.print(
        "[bold]control tokens[/bold] in the words of a row: «control token», the rest is text, in tokens·like·this"
    )
    for name, label, kept in (("as_control", "as control tokens", True), ("as_text", "as text", False)):
        shown = "·".join(f"«{text}»" if control else text.replace("\n", "\\n") for text, control in found[name])
        used = " (in use)" if kept == found["kept"] else ""
        _line(screen, f"  {label}{used}: {shown or 'a row cannot be written so'}")


def _lengths(data: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("  split", no_wrap=True)
    heads = ("\nexamples", "\nrepeats", "tokens\nmedian", "\n95 %", "\nlongest", "trained\nmedian", "\nfewest")
    for head in (*heads, f"cut at\n{data['max_length']}", "\ndropped"):  # 79 columns in all
        table.add_column(head, justify="right", no_wrap=True)
    for name, split in data["splits"].items():
        tokens, targets = split["tokens"] or {}, split["targets"] or {}
        numbers = (split["examples"], split["repeats"], *(tokens.get(key) for key in ("median", "p95", "longest")))
        numbers += (*(targets.get(key) for key in ("median", "shortest")), split["cut"], split["dropped"])
        table.add_row(f"  {name}", *("-" if number is None else f"{number:,}" for number in numbers))
    measured = max(split["measured"] for split in data["splits"].values())
    if any(split["measured"] < split["examples"] for split in data["splits"].values()):
        table.caption = f"tokens, cuts and drops of the first {measured:,} examples of a split, in random order"
        table.caption_justify = "left"
    return table


def _mask(screen: Console, preview: list[list[Any]]) -> None:
    """The first example, trained tokens in color; where there is none, between brackets."""
    from rich.text import Text

    from rankwise.report.clean import clean_text

    colored = screen.is_terminal and screen.color_system is not None and not screen.no_color
    how = "[black on green]trained on[/]" if colored else "«trained on»"
    screen.print(f"[bold]loss mask[/bold] of the first training example: {how}, the rest is read only", highlight=False)
    text = Text()
    runs = [("".join(token for token, _ in run), target) for target, run in groupby(preview, key=lambda pair: pair[1])]
    for words, target in runs:
        shown = clean_text(words)
        if colored:
            text.append(shown, style="black on green" if target else "dim")
        else:
            text.append(f"«{shown}»" if target else shown)
    screen.print(text, soft_wrap=not screen.is_terminal)
    if not screen.is_terminal:  # a file or a pipe: the trained part by itself, easy to search
        _line(screen, "trained on: " + "".join(words for words, target in runs if target))


def _facts(screen: Console, facts: Mapping[str, Any]) -> None:
    for label, value in facts.items():
        _line(screen, f"  {label}: {value}")


def _line(screen: Console, text: str, style: str = "") -> None:
    """One line as it is: no markup, no control characters from data; wrapped between words on a terminal only."""
    from rich.text import Text

    from rankwise.report.clean import clean_text

    screen.print(Text(clean_text(text), style=style), soft_wrap=not screen.is_terminal)
