"""The engine behind the word problems: a story with numbers in it, and the arithmetic that solves it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

Range = tuple[int, int]
OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,  # reached only when the division is exact
}


@dataclass(frozen=True)
class Template:
    """A story and its solution, both filled from the same numbers.

    ``story`` may hold ``{name}``, ``{other}``, ``{thing}`` and the numbers ``{a}``, ``{b}``, ``{c}``, each
    drawn from its inclusive range. ``steps`` is one or two operations separated by ``;``, whose operands are
    numbers' names, whole numbers, or ``_`` for the step before: ``"a * b; _ - c"``. Draws in which a step is
    not a whole number of at least 1 are thrown away. ``things`` is a comma-separated list of words.
    """

    story: str
    steps: str
    a: Range
    b: Range
    c: Range = (1, 1)
    things: str = ""


@dataclass(frozen=True)
class Language:
    """Templates in one language, the names of its characters and a short system message."""

    system: str
    names: tuple[str, ...]
    templates: tuple[Template, ...]


@dataclass(frozen=True)
class Problem:
    """A drawn problem: question, worked solution (one line per step) and answer, as text."""

    question: str
    explanation: str
    answer: str


def solve(steps: str, numbers: Mapping[str, int]) -> tuple[str, int] | None:
    """Worked solution and answer of ``steps``, or None when a step is not a whole number of at least 1.

    >>> solve("a * b; _ - c", {"a": 4, "b": 3, "c": 2})
    ('4 * 3 = 12\\n12 - 2 = 10', 10)
    """
    lines: list[str] = []
    value = 0
    for step in steps.split(";"):
        left_name, sign, right_name = step.split()
        left, right = (_operand(name, numbers, value) for name in (left_name, right_name))
        if sign == "/" and (right == 0 or left % right):
            return None
        value = OPERATIONS[sign](left, right)
        if value < 1:
            return None
        lines.append(f"{left} {sign} {right} = {value}")
    return "\n".join(lines), value


def _operand(name: str, numbers: Mapping[str, int], previous: int) -> int:
    if name == "_":
        return previous
    return int(name) if name.isdigit() else numbers[name]


def draw(template: Template, names: tuple[str, ...], rng: Random) -> Problem:
    """Draw numbers until the story works out, then fill it in."""
    solved = None
    while solved is None:
        numbers = {key: rng.randint(*getattr(template, key)) for key in "abc"}
        solved = solve(template.steps, numbers)
    explanation, answer = solved
    name, other = rng.sample(names, 2)
    thing = rng.choice(template.things.split(", "))
    question = template.story.format(name=name, other=other, thing=thing, **numbers)
    return Problem(question, explanation, str(answer))
