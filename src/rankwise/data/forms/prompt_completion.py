"""TRL's prompt/completion form: two strings (used as they are, no template) or two lists of turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example, Message
from rankwise.data.forms.messages import conversation, turns
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.errors import UsageError


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """Loss on the completion only, so assistant turns inside a prompt are not trained on."""
    prompt, reply = row["prompt"], row["completion"]
    if isinstance(prompt, list) != isinstance(reply, list):
        raise UsageError(f"{where}: prompt and completion must be both text or both lists of turns")
    if isinstance(prompt, list):
        asked = turns(prompt, "prompt", where, learn=False)
        said = turns(reply, "completion", where)
        return conversation(asked + said, where, said)
    opening = Message("user", text_of(prompt, "prompt", where))
    return Example((opening, Message("assistant", text_of(reply, "completion", where))), chat=False)
