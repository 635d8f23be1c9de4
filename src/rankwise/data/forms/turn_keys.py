"""The other keys of a turn than who speaks and what: marks of what to learn, and what a chat template may render."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rankwise.data.forms.text import text_of
from rankwise.errors import UsageError
from rankwise.reading import parse_json

MARKS = ("weight", "train", "training", "trainable", "loss", "loss_mask")  # as several trainers spell it
YES, NO = (True, "true", "1"), (False, "false", "0")  # 1 and 1.0 are True, 0 and 0.0 are False
CALLS = "tool_calls"


def learned(turn: Mapping[str, Any], place: str) -> bool | None:
    """Whether a turn is marked to be learned or not; None without a mark. One "no" is enough.

    Raises UsageError for a mark that is neither, such as a weight of 0.5.
    """
    said = []
    for key in MARKS:
        value = turn.get(key)
        value = value.strip().lower() if isinstance(value, str) else value
        if value is None or value == "":
            continue
        if not isinstance(value, bool | int | float | str) or value not in YES + NO:
            raise UsageError(f"{place}: {key!r} is {value!r}; a turn is learned (1, true) or it is not (0, false)")
        said.append(value in YES)
    return all(said) if said else None


def more_of(turn: Mapping[str, Any], role: str, known: tuple[str, ...], place: str) -> str:
    """The rest of a turn as JSON text, "" when nothing is left. Empty values say nothing and are left out.

    Marks of an assistant turn are obeyed and gone; "learn this" on another turn stays, to be named as not used.
    """
    obeyed = {key for key in MARKS if role == "assistant" or learned({key: turn.get(key)}, place) is not True}
    rest = {key: value for key, value in turn.items() if key not in obeyed.union(known) and not _empty(value)}
    if CALLS in rest:
        rest[CALLS] = _calls(rest[CALLS], place)
    return text_of(json.dumps(rest, ensure_ascii=False, default=str), ", ".join(rest), place) if rest else ""


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | Mapping) and not value)


def _calls(calls: Any, place: str) -> Any:
    """Calls with their arguments as objects: many files hold them as JSON text, which templates would quote again."""
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise UsageError(f"{place}: {CALLS!r} must be a list of objects, found {type(calls).__name__}")
    return [_call(call) for call in calls]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(call)
    if isinstance(made.get("function"), Mapping):
        made["function"] = _call(made["function"])
    written = made.get("arguments")
    if isinstance(written, str):
        with suppress(UsageError):
            found = parse_json(written, "arguments")
            made["arguments"] = found if isinstance(found, dict) else written
    return made
