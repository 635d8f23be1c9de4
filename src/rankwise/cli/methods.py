"""``rankwise methods``: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from rankwise.cli.options import Json


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, in full.")] = None, json_: Json = False
) -> None:
    """List the methods rankwise can train, or show one with its formula, axes and citation."""
    import json

    from rich.markup import escape
    from rich.table import Table

    from rankwise.cli import console
    from rankwise.methods import card, catalogue

    cards = (card(name),) if name else catalogue()
    screen = console.out()
    if json_:
        dumped = [c.to_dict() for c in cards]
        typer.echo(json.dumps(dumped[0] if name else dumped, ensure_ascii=False))
    elif name:
        found = cards[0]
        axes = ", ".join(f"{axis} {choice}" for axis, choice in found.axes.items())
        rows = {
            "title": found.title,
            "arXiv": found.arxiv,
            "formula": found.formula,
            "axes": axes or "-",
            "merges": "yes" if found.merges else "no",
            "exports as plain LoRA of rank": found.export_rank,
            "fidelity": found.fidelity,
        }
        for label, value in rows.items():
            screen.print(f"[bold]{label}[/bold]  {escape(value)}", highlight=False, soft_wrap=True)
        screen.print("\n" + escape(found.citation), highlight=False, soft_wrap=True)
    else:
        table = Table("method", "formula", "exports as LoRA of rank", "arXiv", "fidelity")
        for found in cards:
            table.add_row(*map(escape, (found.name, found.formula, found.export_rank, found.arxiv, found.fidelity)))
        screen.print(table)
        screen.print("One in full: rankwise methods olora", highlight=False)
