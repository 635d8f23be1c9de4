"""ShareGPT's form: ``{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rankwise.data.examples import Example, Message
from rankwise.data.forms.messages import ROLES, conversation, tools_of, turns
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import optional_text

SPEAKERS = {
    **ROLES,
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "observation": "tool",
}


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """A conversation, every turn of the model trained on; a ``system`` column opens it. Turns may use role/content."""
    value = row["conversations"]
    first = value[0] if isinstance(value, list) and value else None
    plain = isinstance(first, Mapping) and "role" in {str(key).lower() for key in first}
    keys = ("role", "content") if plain else ("from", "value")
    said = turns(value, "conversations", where, keys=keys, roles=SPEAKERS)
    system = optional_text(row.get("system"), "system", where)
    made = conversation((Message("system", system), *said) if system else said, where)
    return made and replace(made, tools=tools_of(row.get("tools"), where))
