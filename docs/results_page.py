"""docs/results.md: every key of results.json, read off the schema that its writers and readers share."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rankwise.stats.verdict_words import ArmWord
from rankwise.studies.results import schema

FOLDER = Path(schema.__file__).parent
SECTIONS = {
    "A study": ("study", "arms"),
    "A stream (`rankwise chain`)": ("stream",),
    "A study of events (`rankwise study orthogonalization`)": ("events",),
    "What all kinds have": ("parts",),
}
TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Any": "anything",
    "Point": "[step, NLL]",
    "Coefficients": "list of three numbers",
    "ArmWord": " or ".join(f"`{word}`" for word in get_args(ArmWord)),
}
HEAD = """# results.json

Written by `make docs` from `src/rankwise/studies/results/schema/`: the description that writers and readers of the file
share, and that a file is held against when it is read. More keys may be there. Beside what is below, a file has a
`digest` of it. `results` has no clock and no machine in it, so a resumed study writes the same bytes."""


@dataclass(frozen=True)
class Key:
    """One key: its name, its type in words, whether it may be missing, and what it means."""

    name: str
    type: str
    optional: bool
    meaning: str


@dataclass(frozen=True)
class Entry:
    """One object of the file. ``base``: the one whose keys it has too; empty without."""

    name: str
    base: str
    says: str
    keys: tuple[Key, ...]


def entries(module: str) -> list[Entry]:
    """Return the objects that one file of the schema describes, in its order."""
    source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    lines = source.splitlines()
    return [_entry(node, lines) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def results_page() -> str:
    """Return the schema as Markdown, the whole file before its parts."""
    lines = [HEAD, ""]
    for title, modules in SECTIONS.items():
        lines += [f"## {title}", ""]
        for entry in (entry for module in modules for entry in reversed(entries(module))):
            also = f" All of [{entry.base}](#{entry.base.lower()}), and:" if entry.base else ""
            lines += [f"### {entry.name}", "", entry.says + also, "", "| key | type | meaning |", "|---|---|---|"]
            lines += [_row(key) for key in entry.keys]
            lines += [""]
    return "\n".join(lines)


def _entry(node: ast.ClassDef, lines: list[str]) -> Entry:
    base = ast.unparse(node.bases[0])
    partial = any(keyword.arg == "total" for keyword in node.keywords)
    keys = [_key(part, lines, partial) for part in node.body if isinstance(part, ast.AnnAssign)]
    says = ast.get_docstring(node) or ""
    return Entry(node.name, "" if base == "TypedDict" else base, says, tuple(keys))


def _key(part: ast.AnnAssign, lines: list[str], partial: bool) -> Key:
    meaning = lines[part.lineno - 1].partition("  # ")[2]
    optional = partial or ast.unparse(part.annotation).startswith("NotRequired")
    return Key(ast.unparse(part.target), _words(part.annotation), optional, meaning)


def _words(type_: ast.expr) -> str:
    """A type as people say it."""
    if isinstance(type_, ast.BinOp):
        return f"{_words(type_.left)} or {_words(type_.right)}"
    if isinstance(type_, ast.Constant):
        return "null"
    if isinstance(type_, ast.Subscript):
        kind, inner = ast.unparse(type_.value), type_.slice
        if kind == "Literal":
            return " or ".join(f"`{ast.literal_eval(one)}`" for one in getattr(inner, "elts", [inner]))
        if kind == "dict" and isinstance(inner, ast.Tuple):
            return f"object of {_words(inner.elts[1])}"
        return _words(inner) if kind == "NotRequired" else f"list of {_words(inner)}"
    name = ast.unparse(type_)
    return TYPES.get(name) or f"[{name}](#{name.lower()})"


def _row(key: Key) -> str:
    missing = "; may be missing" if key.optional else ""
    return f"| `{key.name}` | {key.type}{missing} | {key.meaning} |".replace("|cos|", "\\|cos\\|")
