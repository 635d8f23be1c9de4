"""A guess at what the columns of an unknown file are for, as the option to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

ASKED = re.compile(
    r"\b(prompt|question|instruction|input|text|sentence|query|utterance|document|article|context|source|review|tweet|"
    r"comment|message|body|content|premise|title|src)\b"
)
REPLIED = re.compile(
    r"\b(completion|answers?|output|target|response|reply|labels?|category|class|intent|sentiment|topic|summary|"
    r"translation|solution|result|gold|tgt|mood|emotion)\b"
)
NUMBERING = re.compile(r"\b(id|idx|index|uid|uuid|guid|qid|key|no)\b")


def propose(row: Mapping[str, Any]) -> str:
    """``--columns question=...,answer=...`` with columns of ``row``, and its plain form; empty when none can be meant.

    A guess by names; where they do not tell, the first column asks and the last one answers.
    """
    for column, value in row.items():
        if turns := _turns(value):
            return _option({turns: column})
    words = {str(column): re.sub(r"[^a-z]+", " ", str(column).lower()) for column in row}
    text = [str(column) for column, value in row.items() if isinstance(value, str | int | float | None)]
    named = [column for column in text if not NUMBERING.search(words[column])]
    text = named if len(named) > 1 else text
    if len(text) < 2:
        return ""
    replied = next((column for column in reversed(text) if REPLIED.search(words[column])), text[-1])
    rest = [column for column in text if column != replied]
    asked = next((column for column in rest if ASKED.search(words[column])), rest[0])
    chat, plain = _option({"question": asked, "answer": replied}), _option({"prompt": asked, "completion": replied})
    return f"{chat} (a turn of a chat and its reply) or {plain} (joined as they are)"


def _turns(value: Any) -> str | None:
    first = value[0] if isinstance(value, list) and value else None
    keys = {str(key).lower() for key in first} if isinstance(first, Mapping) else set()
    return "messages" if keys >= {"role", "content"} else "conversations" if keys >= {"from", "value"} else None


def _option(columns: Mapping[str, str]) -> str:
    return "--columns " + shlex.quote(",".join(f"{name}={column}" for name, column in columns.items()))
