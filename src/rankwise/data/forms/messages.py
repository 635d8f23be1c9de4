"""The conversation form: ``{"messages": [{"role": "user", "content": "..."}, ...]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example, Message
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.errors import UsageError, unknown

ROLES = {"system": "system", "user": "user", "assistant": "assistant"}


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """A conversation, every assistant turn trained on. The completion style does not apply."""
    return conversation(turns(row["messages"], "messages", where), where)


def turns(
    value: Any,
    column: str,
    where: str,
    *,
    learn: bool = True,
    keys: tuple[str, str] = ("role", "content"),
    roles: Mapping[str, str] = ROLES,
) -> tuple[Message, ...]:
    """Read a list of turns, each an object with the two ``keys``; ``roles`` says what the first one's values mean."""
    speaker, words = keys
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: {column!r} must be a list of turns with {speaker} and {words}, and not empty")
    said = []
    for n, item in enumerate(value, start=1):
        place = f"{where}, {column} turn {n}"
        turn = {str(key).lower(): part for key, part in item.items()} if isinstance(item, Mapping) else {}
        if not {speaker, words} <= turn.keys():
            raise UsageError(f"{place}: a turn must be an object with {speaker} and {words}")
        role = str(turn[speaker])
        if role not in roles:
            raise unknown("role", role, roles, hint=place)
        said.append(Message(roles[role], text_of(turn[words], words, place), learn))
    return tuple(said)


def conversation(messages: tuple[Message, ...], where: str) -> Example:
    """Check that there is something to learn and something before it."""
    speaking = [message.role for message in messages if message.role != "system"]
    if speaking[:1] == ["assistant"]:
        raise UsageError(f"{where}: the conversation starts with the assistant; put a user turn before it")
    if not any(message.role == "assistant" and message.learn for message in messages):
        raise UsageError(f"{where}: there is no assistant turn to train on")
    return Example(messages)
