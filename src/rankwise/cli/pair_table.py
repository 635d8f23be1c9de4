"""``rankwise methods --composes``: what every parametrization takes, and what not, in lines that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rankwise.cli.options import say_json
from rankwise.methods.compatibility_table import Pair, pairs


def show(json_: bool) -> None:
    """Print the pair table."""
    from rankwise.cli import console

    found = pairs()
    if json_:
        say_json([pair.to_dict() for pair in found], sort=False)
        return
    screen = console.out()
    for line in lines(found, screen.width):
        screen.print(line, highlight=False, markup=False, soft_wrap=True)


def lines(found: Iterable[Pair], width: int) -> list[str]:
    """Return the table as text: a block per parametrization, then the numbered reasons; no line above ``width``."""
    blocks: dict[str, list[Pair]] = {}
    for pair in found:
        blocks.setdefault(pair.parametrization, []).append(pair)
    numbers: dict[str, int] = {}
    text: list[str] = []
    for name, own in blocks.items():
        text += [name, *_block(own, numbers, width), ""]
    text.append("not because")
    for reason, number in numbers.items():
        text += _wrapped(f"{number:>4}  ", reason, width)
    return text


def _block(own: list[Pair], numbers: dict[str, int], width: int) -> list[str]:
    """Return a line per axis: what goes, then what does not with the number of its reason."""
    text: list[str] = []
    for axis in dict.fromkeys(pair.axis for pair in own):
        here = [pair for pair in own if pair.axis == axis]
        takes = [pair.choice for pair in here if not pair.reason]
        refused: dict[int, list[str]] = {}
        for pair in here:
            if pair.reason:
                number = numbers.setdefault(pair.in_general, len(numbers) + 1)
                refused.setdefault(number, []).append(pair.choice)
        whole = "all" if len(here) > 1 and not refused else ", ".join(takes) or "none"
        listed = ", ".join(f"{', '.join(names)} ({number})" for number, names in refused.items())
        text += _wrapped(f"  {axis:<12}", f"{whole}; not {listed}" if refused else whole, width)
    return text


def _wrapped(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, 40), initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False
    )
