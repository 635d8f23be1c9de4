"""The conversation form: ``{"messages": [{"role": "user", "content": "..."}, ...]}``, perhaps with ``tools``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rankwise.data.examples import Example, Message
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import joined, optional_text, text_of
from rankwise.data.forms.turn_keys import CALLS, learned, more_of
from rankwise.errors import UsageError, unknown
from rankwise.reading import parse_json

ROLES = {role: role for role in ("system", "developer", "user", "assistant", "tool")}
OPENING = ("system", "developer")


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """A conversation, every assistant turn trained on that is not marked otherwise. No completion style applies."""
    made = conversation(turns(row["messages"], "messages", where), where)
    return made and replace(made, tools=tools_of(row.get("tools"), where))


def turns(
    value: Any,
    column: str,
    where: str,
    *,
    learn: bool = True,
    keys: tuple[str, str] = ("role", "content"),
    roles: Mapping[str, str] = ROLES,
) -> tuple[Message, ...]:
    """Read a list of turns, each an object with the two ``keys``; ``roles`` says what the first one's values mean.

    Words may come in parts of text, and a turn that calls tools needs none. All other keys go to the chat template
    (see :mod:`.turn_keys`).
    """
    speaker, words = keys
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: {column!r} must be a list of turns with {speaker} and {words}, and not empty")
    said = []
    for n, item in enumerate(value, start=1):
        place = f"{where}, {column} turn {n}"
        turn = {str(key).lower(): part for key, part in item.items()} if isinstance(item, Mapping) else {}
        calls = bool(turn.get(CALLS))
        if speaker not in turn or (words not in turn and not calls):
            raise UsageError(f"{place}: a turn must be an object with {speaker} and {words}")
        role = str(turn[speaker])
        if role not in roles:
            raise unknown("role", role, roles, hint=place)
        text = (optional_text if calls else text_of)(joined(turn.get(words), words, place), words, place)
        marked = learned(turn, place) is not False
        said.append(Message(roles[role], text, learn and marked, more_of(turn, roles[role], keys, place)))
    return tuple(said)


def tools_of(value: Any, where: str) -> str:
    """The ``tools`` of a conversation as JSON text: a list, or such a list already written as text; "" for none."""
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value, where)
        except UsageError as error:
            raise UsageError(f"{where}: 'tools' is text that is no JSON list; correct it") from error
    if value and not isinstance(value, list):
        raise UsageError(f"{where}: 'tools' must be a list of functions, found {type(value).__name__}")
    return text_of(json.dumps(value, ensure_ascii=False, default=str), "tools", where) if value else ""


def conversation(
    messages: tuple[Message, ...], where: str, learnable: tuple[Message, ...] | None = None
) -> Example | None:
    """Check that there is something to learn (among ``learnable``: all of them) and something before it.

    None when every turn that could be learned is marked not to be.
    """
    speaking = [message.role for message in messages if message.role not in OPENING]
    if speaking[:1] == ["assistant"]:
        raise UsageError(f"{where}: the conversation starts with the assistant; put a user turn before it")
    replies = [message for message in (learnable or messages) if message.role == "assistant"]
    if not replies:
        raise UsageError(f"{where}: there is no assistant turn to train on")
    return Example(messages) if any(message.learn for message in replies) else None
