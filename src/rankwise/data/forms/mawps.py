"""The MAWPS/ASDiv-A form of SVAMP's release: numbers taken out of the question, the equation in prefix order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import completion, question_example
from rankwise.errors import UsageError

OPERATORS = "+-*/"


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """``number0`` becomes the first of the numbers; ``* number0 number1`` becomes ``8 * 9``."""
    question, equation, answer = (text_of(row[key], key, where) for key in ("question", "equation", "answer"))
    values = [part.removesuffix(".0") for part in text_of(row["numbers"], "numbers", where).split()]

    def put(match: re.Match[str]) -> str:
        place = int(match[1])
        if place >= len(values):
            raise UsageError(f"{where}: number{place} is used, but 'numbers' has {len(values)}: {' '.join(values)}")
        return values[place]

    asked, prefix = (re.sub(r"number(\d+)", put, text) for text in (question, equation))
    result = answer.removesuffix(".0")
    return question_example(asked, completion(f"{infix(prefix, where)} = {result}", result, reading.style))


def infix(prefix: str, where: str) -> str:
    """``* + 1 2 3`` as ``( 1 + 2 ) * 3``. Raises UsageError when operators and numbers do not match up."""
    stack: list[tuple[str, bool]] = []  # text, and whether it is a sum or product itself
    for token in reversed(prefix.split()):
        if token not in OPERATORS:
            stack.append((token, False))
            continue
        if len(stack) < 2:
            break
        left, right = (f"( {text} )" if compound else text for text, compound in (stack.pop(), stack.pop()))
        stack.append((f"{left} {token} {right}", True))
    else:
        if len(stack) == 1:
            return stack[0][0]
    raise UsageError(f"{where}: 'equation' {prefix!r} is not in prefix order, such as '* number0 number1'")
