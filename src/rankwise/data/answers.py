"""The answer inside a reply: after ``####``, after ``</think>``, or the whole of a short one; and whether two agree.

Numbers agree by value, in English or Vietnamese writing. ``1.234`` can be read in two ways (1.234, or 1234 with a
thousands point), so a number is the set of its readings, and two numbers agree when they share one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from rankwise.data.examples import Encoded
from rankwise.data.unicode import composed

MARKER = "####"
THINK_END = "</think>"
SHORT = 120  # characters; a longer reply without a marker has no answer that could be compared
_NUMBER = re.compile(r"(?<![\w.,])[-\u2212]?\d(?:[\d.,]*\d)?(?!\w)|\d(?:[\d.,]*\d)?")
_THIN = "\u00a0\u2007\u2009\u202f"  # spaces that keep a number in one piece: no-break, figure, thin, narrow no-break
_GROUPED = re.compile(rf"(?<![\d.,])[1-9]\d{{0,2}}(?:[{_THIN}]\d{{3}})+(?!\d)")
_AROUND = f" \t\n$€£¥₫%.,;:!?{_THIN}*\"'`"  # currency, percent, punctuation and emphasis around an answer


@dataclass(frozen=True)
class Answer:
    """What a reply comes down to.

    Attributes:
        text: lower case, composed letters, single spaces, no punctuation at the ends.
        numbers: the readings of the number it is; empty when it is not one.
        marked: it stood behind a marker, so it can be told apart from the reasoning.
    """

    text: str
    numbers: frozenset[Decimal]
    marked: bool


def gold_answer(reply: str) -> Answer | None:
    """Return the answer of a reference reply; None when it has none that is short enough to compare."""
    part, marked = _part(reply)
    if part is None or not part.strip() or (not marked and (len(part) > SHORT or "\n" in part)):
        return None
    text = _plain(part)
    bare = _ungrouped(part).strip(_AROUND + "đ")
    return Answer(text, readings(bare) if _NUMBER.fullmatch(bare) else frozenset(), marked)


def is_right(reply: str, gold: Answer) -> bool:
    """Return whether a generated ``reply`` comes to ``gold``.

    A number is the last one of the marked part, or of the whole reply where nothing is marked, so a model that was
    never taught the marker is judged by what it computes. Other answers are compared as text, marked part or first
    line.
    """
    part, marked = _part(reply)
    if part is None:
        return False
    if gold.numbers:
        found = _NUMBER.findall(_ungrouped(part))
        return bool(found) and not gold.numbers.isdisjoint(readings(found[-1]))
    lines = [line for line in part.splitlines() if line.strip()]
    return bool(lines) and _plain(part if marked else lines[0]) == gold.text


def readings(number: str) -> frozenset[Decimal]:
    """Return the values a written number can have.

    >>> sorted(readings("1,234"))
    [Decimal('1.234'), Decimal('1234')]
    >>> readings("1.234.567,5") == readings("1,234,567.50")
    True
    """
    text = _ungrouped(re.sub(r"(?<=\d) (?=\d{3}\b)", "", number)).replace("\u2212", "-")
    found = set()
    for thousands, point in ((",", "."), (".", ",")):
        grouped = rf"-?(?:\d+|[1-9]\d{{0,2}}(?:\{thousands}\d{{3}})+)(?:\{point}\d+)?"
        if re.fullmatch(grouped, text):
            found.add(Decimal(text.replace(thousands, "").replace(point, ".")))
    return frozenset(found)


def gold_ids(example: Encoded) -> tuple[int, ...]:
    """Return the token ids of the first reply that is trained on: what follows :func:`engine.generate.prompt_of`."""
    start = example.target_mask.index(True)
    mask = example.target_mask[start:]
    length = mask.index(False) if False in mask else len(mask)
    return example.input_ids[start : start + length]


def _part(reply: str) -> tuple[str | None, bool]:
    """Return the part that holds the answer and whether it was marked; None when the thinking never ended."""
    if MARKER in reply:
        lines = reply.rpartition(MARKER)[2].strip().splitlines()
        return (lines[0] if lines else ""), True
    if THINK_END in reply:
        return reply.rpartition(THINK_END)[2].strip(), True
    if "<think>" in reply:
        return None, False
    return reply.strip(), False


def _ungrouped(text: str) -> str:
    """Close up numbers whose thousands are told apart by a space that does not break."""
    return _GROUPED.sub(lambda number: re.sub(f"[{_THIN}]", "", number[0]), text)


def _plain(text: str) -> str:
    return composed(" ".join(text.split()).strip(_AROUND).casefold())
