"""Two columns, what is asked and what is answered, under their common names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import optional_text, text_of
from rankwise.data.styles import question_example


def pair(asked: str, replied: str) -> Callable[[Mapping[str, Any], str, Reading], Example]:
    """Return the builder for these two columns. A ``context`` stands after a blank line; ``system`` opens the chat.

    Of a list of accepted replies (BIG-bench's ``target``) the first is learned.
    """

    def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
        question = text_of(row[asked], asked, where)
        context = optional_text(row.get("context"), "context", where)
        system = optional_text(row.get("system"), "system", where)
        value = row[replied]
        reply = text_of(value[0] if isinstance(value, list) and value else value, replied, where)
        return question_example(f"{question}\n\n{context}" if context else question, reply, system or None)

    return build
