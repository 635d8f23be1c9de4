"""Attention in groups of tokens: how a sequence is cut, and how many scores are left.

A whole sequence of N tokens has N^2 scores a head. In groups of G tokens half of the heads have theirs moved by G/2
(arXiv 2309.12307, section 3.2), so the two halves of the heads cut a sequence differently.
"""

from __future__ import annotations


def halves(length: int, group: int) -> tuple[list[int], list[int]]:
    """Return how long the groups of a sequence are, in order: of the first heads, and of those that are moved."""
    return _cut(length, group, group), _cut(length, group // 2, group)


def _cut(length: int, first: int, group: int) -> list[int]:
    rest = max(0, length - first)
    return [min(length, first), *[group] * (rest // group), *([rest % group] if rest % group else [])]


def squared(length: int, group: int | None, most: int | None = None) -> int:
    """Return how many scores a head has over ``length`` tokens, N^2 or those in groups: the mean of both kinds of head.

    Args:
        group: G; None: attention is whole.
        most: count groups (or a whole sequence) of more tokens than this as ones of this many.
    """
    kinds = ([length], [length]) if group is None else halves(length, group)
    return sum(min(n, most or n) ** 2 for kind in kinds for n in kind) // 2
