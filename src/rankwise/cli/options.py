"""Options that several commands share, declared once."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

Model = Annotated[
    str | None, typer.Option(help="'default' (SmolLM2-135M-Instruct), 'tiny', a folder, or a hub id owner/name.")
]
Data = Annotated[
    str | None,
    typer.Option(
        help="'word-problems' (or word-problems:en, :vi), 'code-book', 'town-crier', 'reasoning-gym:NAME', a .json, "
        ".jsonl, .csv or .parquet file, a folder, or a hub id; skip-bad-rows:NAME leaves out rows that cannot be used, "
        "keep-control-tokens:NAME lets their words hold control tokens."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Which of the file's columns is read as what: prompt=text,completion=category; or a template over them: "
        "'prompt={premise} Because {question}?,completion=label'."
    ),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=8, help="Tokens of an example, at most; the rest is cut.")
]
Scale = Annotated[
    str | None,
    typer.Option(help="smoke (half a minute, random model), quick (default, a quarter of an hour), tutorial (hours)."),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps of every run.")]
Batch = Annotated[int | None, typer.Option(help="Examples per optimizer step.")]
Out = Annotated[Path | None, typer.Option(help="Folder for everything; the same folder continues what was cut short.")]
Seed = Annotated[int | None, typer.Option(help="Seed of data split, screening and, with train, the run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")]
ReportTo = Annotated[
    str | None, typer.Option("--report-to", help="Also log runs to trackio, wandb, mlflow or tensorboard (or several).")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of the study by name, such as --set steps=40 --set sizes.test=64."),
]


def say_loading() -> None:
    """Tell a person at a terminal that PyTorch is being loaded, which takes a few silent seconds."""
    if sys.stderr.isatty() and "torch" not in sys.modules:
        typer.echo("Loading PyTorch and transformers", err=True)


def typed(command: str, otherwise: str | None = None) -> str:
    """Return the command line as it was typed, to be written down; ``otherwise`` where another program calls."""
    import shlex

    here = sys.argv[1:2] == [command]
    return shlex.join(["rankwise", *sys.argv[1:]]) if here else otherwise or f"rankwise {command}"


def command(verb: str, *arguments: object, **options: object) -> str:
    """Return a command to paste into a POSIX shell, with the options that were given, such as ``for_="peft"``.

    >>> command("export", "my runs/best", for_="peft", base=None)
    "rankwise export 'my runs/best' --for peft"
    """
    import shlex

    words = ["rankwise", verb, *map(str, arguments)]
    for name, value in options.items():
        if value is not None:
            words += ["--" + name.strip("_").replace("_", "-"), str(value)]
    return shlex.join(words)


def say_text(text: str) -> None:
    """Print text; nothing in it acts as a terminal's code."""
    from rankwise.report.clean import clean_text

    typer.echo(clean_text(text))


def say_json(values: Any, *, sort: bool = True) -> None:
    """Print ``values`` as one line of JSON, every script's letters as they are."""
    import json

    typer.echo(safe_json(json.dumps(values, ensure_ascii=False, sort_keys=sort)))


def safe_json(text: str) -> str:
    """Spell as ``\\uXXXX`` what a terminal may obey or no encoding can write; in JSON that is the same value.

    These are controls, line separators, marks that turn the direction of text, and lone surrogates.
    """
    import re

    unsafe = r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(unsafe, lambda found: f"\\u{ord(found[0]):04x}", text)


def listed(option: str, text: str | None) -> list[str]:
    """Split the text of a comma-separated option; empty when it was not given.

    Raises:
        UsageError: it was given and names nothing.
    """
    from rankwise.errors import UsageError

    found = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not found:
        raise UsageError(f"--{option} is empty; give it something, or leave it out for the default.")
    return found


def changes(settings: list[str] | None, **options: Any) -> dict[str, Any]:
    """Merge ``--set a.b=c`` (values read as YAML) with options that were given.

    Raises:
        UsageError: a setting without '=', or whose value is not YAML.
    """
    from rankwise.errors import UsageError
    from rankwise.reading import parse_yaml
    from rankwise.studies.settings import merged

    found: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set needs name=value, found {setting!r}; for instance --set steps=40.")
        value = parse_yaml(text, f"--set {name}: {text[:80]!r}")
        for part in reversed(name.split(".")):
            value = {part: value}
        found = merged(found, value)
    return {**found, **{k: v for k, v in options.items() if v is not None}}


def method_options(found: Any, given: Collection[str]) -> dict[str, Any]:
    """Return what ``--set method.NAME=VALUE`` says, lists as tuples.

    Args:
        given: options of the method that the command line has already.

    Raises:
        UsageError: ``--set method=NAME``, or an option given twice.
    """
    from rankwise.errors import UsageError

    if not isinstance(found, dict):
        raise UsageError(
            f"--set method={found} does not choose the method, --method does; --set method.NAME=VALUE "
            "sets one of its options."
        )
    if twice := sorted(set(found) & set(given)):
        raise UsageError(f"--{twice[0]} and --set method.{twice[0]} are the same option; give one of them.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
