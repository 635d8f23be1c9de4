"""Settings as people give them: put on top of others, and refused in one sentence where they cannot be."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rankwise.errors import UsageError, unknown

_SHOWN = 80
_LIST = (list, tuple)
_NEEDS = {
    "tuple_type": "must be a list, such as [1, 2, 3]",
    "model_type": "must be a mapping, such as {test: 64}",
    "dict_type": "must be a mapping, such as {full: [1e-4, 3e-4]}",
    "missing": "is missing",
}
_DECIDING: dict[str, tuple[Any, Any, str]] = {  # its type, that of its items, what to say
    "methods": ((*_LIST, type(None)), str, "must be a list of names, such as [lora-r4, olora-r4]"),
    "learning_rates": (Mapping, object, _NEEDS["dict_type"]),
    "fresh_seeds": (_LIST, object, _NEEDS["tuple_type"]),
    "seed": (int, object, "must be a whole number"),
    "reference": ((str, type(None)), object, "must be text"),
    "cheapest_by": ((str, type(None)), object, "must be text"),
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` on top; a mapping keeps the entries that are not changed, at any depth.

    >>> merged({"steps": 20, "sizes": {"train": 64, "test": 32}}, {"sizes": {"test": 8}})
    {'steps': 20, 'sizes': {'train': 64, 'test': 8}}
    """
    found = dict(base)
    for name, value in changes.items():
        old = found.get(name)
        found[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def as_named(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``changes`` with model and data as text; they are named, by a word or a path, and loaded later.

    Raises:
        UsageError: one of them is an object, such as a module that is loaded already.
    """
    found = dict(changes)
    for name, instead in (
        ("model", "save it and its tokenizer with save_pretrained(FOLDER) and give that folder"),
        ("data", "write it to a .jsonl or .parquet file and give that file"),
    ):
        value = found.get(name)
        if isinstance(value, os.PathLike):
            found[name] = os.fspath(value)
        elif value is not None and not isinstance(value, str):
            raise UsageError(f"{name} must be a name, a path or a hub id, found a {type(value).__name__}; {instead}.")
    return found


def check_kinds(changes: Mapping[str, Any]) -> None:
    """Check the settings that decide others, and so are used before all of them are validated.

    Raises:
        UsageError: one of another type.
    """
    for name, (kind, inside, needs) in _DECIDING.items():
        value = changes.get(name)
        items = value if isinstance(value, list | tuple) else ()
        if name in changes and not (isinstance(value, kind) and all(isinstance(item, inside) for item in items)):
            raise UsageError(f"study setting {name}: {needs}, found {_short(value)}.")


def refusal(error: ValidationError, model: type[BaseModel]) -> UsageError:
    """Say the first thing that is wrong with the settings of ``model``."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, _ = first["loc"]
        inside = "".join(f"{part}." for part in parents)
        return unknown("study setting", where, [inside + name for name in _at(model, parents).model_fields])
    if not where:
        return UsageError(f"study settings: {first['msg'].removeprefix('Value error, ')}.")
    if first["type"] == "too_long":
        return too_many(where, len(first["input"]), first["ctx"]["max_length"])
    found = "" if first["type"] in ("missing", "value_error") else f", found {_short(first['input'])}"
    needs = _NEEDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    return UsageError(f"study setting {where}: {needs}{found}.")


def too_many(setting: str, found: int, most: int) -> UsageError:
    """Return the error of a list that is longer than any study can use."""
    return UsageError(
        f"study setting {setting}: a study takes {most:,} at most, found {found:,}; ask in several studies, each in an "
        "--out of its own."
    )


def _at(model: type[BaseModel], path: list[int | str]) -> type[BaseModel]:
    """Return the model that holds a setting, found by the names (and places in lists) that lead to it."""
    for part in path:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in (Union, types.UnionType, tuple, list):
        return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
