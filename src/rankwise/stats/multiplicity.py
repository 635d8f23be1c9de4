"""Which of several claims may be made when each must be wrong together at most a share ``alpha`` of the time.

Holm (1979) steps down across arms. A ladder of ranks is tested in a fixed order, each step at the level of the
one before, and stops at the first claim that fails: no price per rank. `claims` combines both as the graphical
procedure of Bretz, Maurer, Brannath and Posch (2009): a ladder counts as one arm, and passes its level on only when
its last step is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rankwise.errors import UsageError


@dataclass(frozen=True)
class Claims:
    """``allowed``: names that may be claimed. ``levels``: the share of the error that each name
    was finally tested with, 0 if never."""

    allowed: frozenset[str]
    levels: Mapping[str, float]


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given: claim those at or below the family's level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for step, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = running
    return tuple(adjusted)


def fixed_sequence(p_values: Sequence[float], alpha: float) -> int:
    """Number of leading claims that hold when tested in the order given, stopping at the first failure."""
    for step, p in enumerate(p_values):
        if p > alpha:
            return step
    return len(p_values)


def claims(
    p_values: Mapping[str, float],
    alpha: float,
    ladders: Sequence[Sequence[str]] = (),
    *,
    level: Callable[[float], float] = lambda error: error,
) -> Claims:
    """Decide the claims of a family at ``alpha``: Holm across arms, fixed sequence along each ladder.

    ``ladders``: disjoint sequences of names from ``p_values``, in testing order. Without ladders this is Holm;
    with one ladder of everything it is the fixed sequence. ``level``: what a p-value is held against when its claim
    may be wrong a share ``error`` of the time; one look of a sequential design has less to spend.
    Raises UsageError for a name that is unknown or in two ladders.
    """
    on_ladders = [name for ladder in ladders for name in ladder]
    wrong = [n for n in on_ladders if n not in p_values or on_ladders.count(n) > 1]
    if wrong:
        raise UsageError(f"claims: ladder entry {wrong[0]!r} must be one of the arms and on one ladder only.")
    open_units = [tuple(ladder) for ladder in ladders if ladder]
    open_units += [(name,) for name in p_values if name not in on_ladders]
    allowed: set[str] = set()
    levels = dict.fromkeys(p_values, 0.0)
    progress = True
    while open_units and progress:
        progress = False
        share = alpha / len(open_units)
        for unit in open_units:
            reached = fixed_sequence([p_values[name] for name in unit], level(share))
            for name in unit[: reached + 1]:
                levels[name] = share
            allowed.update(unit[:reached])
            if reached == len(unit):
                open_units.remove(unit)  # its share of alpha passes to the others
                progress = True
                break
    return Claims(frozenset(allowed), levels)
