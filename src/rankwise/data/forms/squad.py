"""SQuAD: a context, a question and its accepted answers, in the nesting of its release or one question a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.data.bad_rows import BadRow
from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import question_example
from rankwise.errors import UsageError

Placed = list[tuple[str, Mapping[str, Any]]]


def flat(rows: Placed) -> Placed:
    """One row for each question of ``{"paragraphs": [{"context", "qas": [...]}]}``; other rows stay as they are."""
    if not any("paragraphs" in row for _, row in rows):
        return rows
    found: Placed = []
    for where, row in rows:
        if isinstance(row, BadRow):
            found.append((where, row))
            continue
        outer = {key: value for key, value in row.items() if key != "paragraphs"}
        for n, paragraph in enumerate(_objects(row, "paragraphs", where), start=1):
            inner = {key: value for key, value in paragraph.items() if key != "qas"}
            place = f"{where}, paragraph {n}"
            for m, question in enumerate(_objects(paragraph, "qas", place), start=1):
                found.append((f"{place}, question {m}", {**outer, **inner, **question}))
    if not found:
        raise UsageError(f"{rows[0][0]}: no paragraph holds a question; expected paragraphs with context and qas")
    return found


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """The context, a blank line and the question ask; the first answer answers. None for a question without any."""
    answers = row["answers"]
    texts = answers.get("text") if isinstance(answers, Mapping) else answers  # the hub keeps columns of answers
    if not isinstance(texts, list):
        raise UsageError(f"{where}: 'answers' must be a list of answers with text, found {type(answers).__name__}")
    if not texts:
        return None
    first = texts[0].get("text") if isinstance(texts[0], Mapping) else texts[0]
    context, question = (text_of(row[key], key, where) for key in ("context", "question"))
    return question_example(f"{context}\n\n{question.strip()}", text_of(first, "answers", where))


def _objects(holder: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    value = holder.get(key)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UsageError(f"{where}: {key!r} must be a list of objects, found {type(value).__name__}")
    return value
