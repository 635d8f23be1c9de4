"""Alpaca's form: instruction, an input that may be empty, and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import optional_text, text_of
from rankwise.data.styles import question_example


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """The instruction, a blank line and the input ask; the output answers. A ``system`` column opens the chat."""
    asked = text_of(row["instruction"], "instruction", where)
    material = optional_text(row.get("input"), "input", where)
    reply = text_of(row["output"], "output", where)
    system = optional_text(row.get("system"), "system", where)
    return question_example(f"{asked}\n\n{material}" if material else asked, reply, system or None)
