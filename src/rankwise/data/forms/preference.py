"""Preference pairs (DPO): the chosen reply is learned; the rejected one only tells where the two part."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rankwise.data.examples import Example, Message
from rankwise.data.forms.messages import conversation, turns
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import optional_text, text_of
from rankwise.errors import UsageError

NOTE = "of a preference pair the chosen reply is trained on, the rejected one is not"
SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")  # a transcript as hh-rlhf writes it


def asked(column: str) -> Callable[[Mapping[str, Any], str, Reading], Example | None]:
    """Return the builder for rows whose prompt is in ``column``."""

    def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
        prompt, chosen = row[column], row["chosen"]
        if isinstance(chosen, list):
            said = turns(chosen, "chosen", where)
            if said[0].role != "assistant":  # the whole conversation, its prompt once more in a column
                return _parted(said, row.get("rejected"), where)
        else:
            said = (Message("assistant", text_of(chosen, "chosen", where).strip()),)
        if isinstance(prompt, list):
            return conversation((*turns(prompt, column, where, learn=False), *said), where)
        opening = text_of(prompt, column, where)
        system = optional_text(row.get("system"), "system", where)
        before = _read_only(transcript(opening, where)) or (Message("user", opening),)
        return conversation((Message("system", system), *before, *said) if system else (*before, *said), where)

    return build


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """Rows without a prompt: what chosen and rejected begin with in common, by whole turns where there are turns."""
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, list):
        return _parted(turns(chosen, "chosen", where), rejected, where)
    text, other = (text_of(row[key], key, where) for key in ("chosen", "rejected"))
    if said := transcript(text, where):
        return conversation((*_read_only(said[:-1]), *said[-1:]), where)
    same = next((n for n, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), len(text))
    common = text[:same]
    end = max(common.rfind(" "), common.rfind("\n") + 1)  # a space begins the reply, a line break ends the prompt
    prompt = common[: max(end, 0)]
    if not prompt.strip() or not text[len(prompt) :].strip():
        raise UsageError(
            f"{where}: chosen and rejected do not begin with a common prompt; give it in a column named prompt, or "
            "say which column it is with --columns prompt=COLUMN,chosen=chosen"
        )
    return Example((Message("user", prompt), Message("assistant", text[len(prompt) :])), chat=False)


def transcript(text: str, where: str) -> tuple[Message, ...]:
    """The turns of ``Human: ... Assistant: ...``; none when it does not begin so. An open last turn is left out."""
    pieces = SPEAKER.split(text.strip("\n"))
    if len(pieces) < 3 or pieces[0].strip() or pieces[1] != "Human":
        return ()
    roles = {"Human": "user", "Assistant": "assistant"}
    said = list(zip(pieces[1::2], pieces[2::2], strict=True))
    if not said[-1][1].strip():
        said.pop()
    return tuple(Message(roles[who], text_of(words, f"{who} turn", where).strip()) for who, words in said)


def _parted(said: tuple[Message, ...], rejected: Any, where: str) -> Example | None:
    """Turns that the rejected conversation has too are read only; the last one is always learned."""
    other = turns(rejected, "rejected", where) if isinstance(rejected, list) and rejected else ()
    same = next((n for n, (one, two) in enumerate(zip(said, other, strict=False)) if one != two), len(said) - 1)
    return conversation((*_read_only(said[:same]), *said[same:]), where)


def _read_only(said: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(replace(message, learn=False) for message in said)
