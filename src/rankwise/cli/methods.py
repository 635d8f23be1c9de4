"""``rankwise methods``: the catalogue, one method in full, and what composes with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankwise.cli.options import Json, say_json

if TYPE_CHECKING:
    from rankwise.methods import Card


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, in full.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Count the method's parameters on this model, as `rankwise cost` takes it.")
    ] = None,
    composes: Annotated[
        bool, typer.Option("--composes", help="What goes with every parametrization, and why the rest does not.")
    ] = False,
    json_: Json = False,
) -> None:
    """List the methods rankwise can train, or show one with its formula, axes, shapes and citation."""
    from rankwise.errors import UsageError
    from rankwise.methods import card, catalogue

    if model and not name:
        raise UsageError("--model counts one method's parameters; name the method: rankwise methods lora --model tiny.")
    if composes and name:
        raise UsageError(f"--composes is about all choices; what goes with {name!r} is shown without it.")
    if composes:
        from rankwise.cli.pair_table import show

        show(json_)
    elif name and _is_strategy(name):
        if model:
            raise UsageError(f"{name} is a strategy for a stream; --model counts the parameters of a method.")
        _strategy(name, json_)
    elif name:
        _one(card(name), model, json_)
    else:
        _all(catalogue(), json_)


def details(found: Card, model: str | None) -> dict[str, Any]:
    """Return what one method's page says besides its card."""
    from rankwise.adapters import Adapter
    from rankwise.cost import blueprint
    from rankwise.cost.count import adapter_parameters
    from rankwise.methods.compatibility_table import alternatives, shapes
    from rankwise.methods.taxonomy import tag

    spec = found.build()
    extra: dict[str, Any] = tag(spec).to_dict()
    if isinstance(spec, Adapter):
        extra |= {
            "default": repr(spec),
            "kind": spec.parametrization.kind,
            "shapes": shapes(spec),
            "needs_data": spec.init.needs_data,
            "composes": alternatives(spec),
        }
    if model:
        whole = blueprint(model).model
        total = sum(p.numel() for p in whole.parameters())
        trained = sum(adapter_parameters(whole, spec).values()) if isinstance(spec, Adapter) else total
        extra |= {"model": model, "trainable": trained, "share": trained / total}
    return extra


def _one(found: Card, model: str | None, json_: bool) -> None:
    from rich.markup import escape

    from rankwise.cli import console

    more = details(found, model)
    if json_:
        say_json({**found.to_dict(), **more}, sort=False)
        return
    screen = console.out()
    axes = ", ".join(f"{axis} {choice}" for axis, choice in found.axes.items())
    rows = {
        "title": found.title,
        "arXiv": found.arxiv,
        "formula": found.formula,
        "axes": axes or "-",
        "kind of change": f"{more['taxonomy']} (arXiv 2407.05417), {more['class']}",
        "shapes": "; ".join(f"{name} {shape}" for name, shape in more.get("shapes", {}).items()),
        "by default": more.get("default", ""),
        "looks at data": {"inputs": "inputs of every layer", "gradients": "gradients of every weight"}.get(
            more.get("needs_data", ""), ""
        ),
        "merges": "yes" if found.merges else "no",
        "exports as plain LoRA of rank": found.export_rank,
        "fidelity": found.fidelity,
        "also with": "; ".join(f"{axis} {', '.join(names)}" for axis, names in more.get("composes", {}).items()),
    }
    if model:
        rows[f"trains on {model}"] = f"{more['trainable']:,} parameters by default, {more['share']:.3%} of the model"
    for label, value in rows.items():
        if value:
            screen.print(f"[bold]{escape(label)}[/bold]  {escape(value)}", highlight=False, soft_wrap=True)
    if found.citation:
        screen.print("\n" + escape(found.citation), highlight=False, soft_wrap=True)


def _all(cards: tuple[Card, ...], json_: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from rankwise.adapters import Adapter
    from rankwise.cli import console
    from rankwise.methods.taxonomy import tag

    if json_:
        specs = [(found, found.build()) for found in cards]
        kinds = [spec.parametrization.kind if isinstance(spec, Adapter) else "overlay" for _, spec in specs]
        dumped = [
            {**found.to_dict(), "kind": kind, **tag(spec).to_dict()}
            for (found, spec), kind in zip(specs, kinds, strict=True)
        ]
        say_json([*dumped, *_strategies()], sort=False)
        return
    table = Table("method", "formula", "exports as LoRA of rank", "arXiv", "fidelity")
    for found in cards:
        table.add_row(*map(escape, (found.name, found.formula, found.export_rank, found.arxiv, found.fidelity)))
    screen = console.out()
    screen.print(table)
    streams = Table("strategy for a stream of tasks", "formula", "answers", "arXiv", title="rankwise chain")
    for one in _strategies():
        streams.add_row(*(escape(one[key]) for key in ("name", "formula", "answers", "arxiv")))
    screen.print(streams)
    screen.print("One in full: rankwise methods olora", highlight=False)
    screen.print("What goes with what: rankwise methods --composes", highlight=False)


def _strategies() -> list[dict[str, Any]]:
    """Return what the catalogue says about every strategy of ``rankwise chain``."""
    from rankwise.continual.strategies import STRATEGIES

    keys = ("name", "title", "arxiv", "formula", "answers", "stores")
    return [
        {**{key: getattr(kind, key) for key in keys}, "kind": "strategy", "options": _options(kind)}
        for kind in STRATEGIES.values()
    ]


def _options(kind: Any) -> dict[str, Any]:
    return {key: value for key, value in kind().to_dict().items() if key != "name"}


def _is_strategy(name: str) -> bool:
    from rankwise.continual.strategies import STRATEGIES

    return name in STRATEGIES


def _strategy(name: str, json_: bool) -> None:
    from rich.markup import escape

    from rankwise.cli import console

    found = next(one for one in _strategies() if one["name"] == name)
    if json_:
        say_json(found, sort=False)
        return
    told = {"one": "one adapter", "oracle": "the task's own, told", "router": "the nearest centroid's"}
    rows = {
        "title": found["title"],
        "arXiv": found["arxiv"],
        "formula": found["formula"],
        "answers": told[found["answers"]],
        "grows": "yes, earlier updates stay frozen beside the new one" if found["stores"] else "no",
        "options": ", ".join(f"{key} {value}" for key, value in found["options"].items()) or "none",
        "used by": "rankwise chain STREAM.yaml (strategies: a name, or a mapping with name and options)",
    }
    for label, value in rows.items():
        console.out().print(f"[bold]{escape(label)}[/bold]  {escape(value)}", highlight=False, soft_wrap=True)
