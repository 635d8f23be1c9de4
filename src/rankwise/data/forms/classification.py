"""Classification: a text and its label, asked in the spirit of the O-LoRA benchmark (question, options, text)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import question_example
from rankwise.data.unicode import composed
from rankwise.errors import UsageError, unknown

NO_GOLD = ("-", "-1")  # what SNLI, MNLI and GLUE write for a row without a label
QUESTION = "Which option describes the text?"
CATEGORY = "Which category does the text belong to?"
LISTED = 20  # categories; more of them are not listed with every text
SENTIMENT = "How does the writer feel?"
TOPIC = "What is the text about?"
ENTAILMENT = "How does sentence 2 relate to sentence 1?"
# What the sets of the benchmark ask, by the name of their folder without its punctuation.
QUESTIONS = {
    "amazon": SENTIMENT,
    "yelp": SENTIMENT,
    "sst2": SENTIMENT,
    "agnews": TOPIC,
    "dbpedia": TOPIC,
    "cb": ENTAILMENT,
    "mnli": ENTAILMENT,
    "rte": ENTAILMENT,
    "qqp": "Do both sentences ask the same?",
    "boolqa": "Does the passage answer the question with yes?",
    "wic": "Has the word the same meaning in both sentences?",
    "copa": "Which of the two sentences fits?",
}


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """Ask with the options listed; the label is the answer. None for a row marked as having no label."""
    label = label_of(row["label"], reading.options, where)
    if label is None:
        return None
    column = "sentence" if "sentence" in row else "text"
    text = text_of(row[column], column, where).strip()
    question = QUESTIONS.get(re.sub(r"[^a-z0-9]", "", reading.task.lower()), QUESTION)
    return question_example(f"{question}\nOptions: {', '.join(reading.options)}\n\n{text}", label)


def build_category(row: Mapping[str, Any], where: str, reading: Reading) -> Example | None:
    """Text and category, of which there may be many: they are listed only up to ``LISTED``."""
    label = label_of(row["category"], reading.options, where, "category")
    if label is None:
        return None
    options = f"\nOptions: {', '.join(reading.options)}" if len(reading.options) <= LISTED else ""
    return question_example(f"{CATEGORY}{options}\n\n{text_of(row['text'], 'text', where).strip()}", label)


def label_of(value: Any, options: tuple[str, ...], where: str, column: str = "label") -> str | None:
    """The label as text, None for "no label". With ``options``, a number that is none of them counts into them."""
    if isinstance(value, bool):
        value = str(value)
    label = text_of(value, column, where).strip()
    if not options:
        return None if label in NO_GOLD else label
    if label in options:
        return label
    for option in options:
        if composed(option) == composed(label):  # one class, whichever way its letters are spelled
            return option
    if label in NO_GOLD:
        return None
    if label.isdecimal():
        if int(label) < len(options):
            return options[int(label)]
        raise UsageError(f"{where}: {column!r} {label} is outside the {len(options)} labels {', '.join(options)}")
    raise unknown(column, label, options, hint=f"It is in {where}; correct it there, or add it to the list of labels")
