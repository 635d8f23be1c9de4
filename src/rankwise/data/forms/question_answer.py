"""Question/answer rows, with the worked solution in a column of its own (vi_gsm8k) or inside the answer (GSM8K)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import completion, question_example

HASHES = "\n#### "


def build_explained(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """Question, explanation, answer: the completion joins the last two in the reading's style."""
    question, explanation, answer = (text_of(row[key], key, where) for key in ("question", "explanation", "answer"))
    return question_example(question, completion(explanation, answer, reading.style))


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """Question and answer. GSM8K's ``solution\\n#### answer`` is taken apart so that the style applies to it too."""
    question, answer = (text_of(row[key], key, where) for key in ("question", "answer"))
    explanation, found, result = answer.rpartition(HASHES)
    return question_example(question, completion(explanation, result, reading.style) if found else answer)
