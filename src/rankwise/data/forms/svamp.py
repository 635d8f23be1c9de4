"""SVAMP's form: Body, Question, Equation, Answer. The equation is the worked solution."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import completion, question_example


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """``( 76.0 - 25.0 )`` and ``51.0`` become ``76 - 25 = 51`` and ``51``."""
    body, question, equation = (text_of(row[key], key, where) for key in ("body", "question", "equation"))
    answer = text_of(row["answer"], "answer", where)
    body = body.strip()
    joined = f"{body}{'' if body[-1] in '.,!?' else ','} {question.strip()}"  # many bodies stop mid-sentence
    plain = re.sub(r"(\d)\.0\b", r"\1", equation).strip()
    if plain.startswith("( ") and plain.count("(") == 1:
        plain = plain[2:].removesuffix(")").strip()
    return question_example(joined, completion(f"{plain} = {answer}", answer, reading.style))
