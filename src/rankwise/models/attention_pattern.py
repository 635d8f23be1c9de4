"""How far attention reaches in the passes of training: a thing of its own, which an event of an adapter hands over.

Heads are of one kind or of several. Those of one kind cut a sequence into groups; a token sees itself and what comes
before it in its group, less what the pattern hides there. Flat passes, padded ones, operations and memory follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Kind:
    """Heads that cut a sequence alike.

    Attributes:
        group: tokens per group; None: the whole sequence is one.
        first: tokens of the first group, where it is not a whole one.
    """

    group: int | None = None
    first: int | None = None

    def cut(self, length: int) -> list[int]:
        """Return how long the groups of a sequence are, in order; the last one is what is left."""
        if self.group is None:
            return [length]
        first = self.first or self.group
        rest = max(0, length - first)
        count, end = divmod(rest, self.group)
        return [min(length, first), *[self.group] * count, *([end] if end else [])]


@dataclass(frozen=True)
class AttentionPattern:
    """The model's own attention, in which a token sees all before it; members override what they change."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of heads, in the order in which heads stand."""
        return (Kind(),)

    def heads(self, count: int) -> Sequence[int]:
        """Return how many of ``count`` heads are of each kind.

        Raises:
            UsageError: there are too few.
        """
        return [count]

    def hidden(self, kind: int, size: int) -> Tensor | None:
        """Return which keys (columns) of a group of ``size`` tokens its queries (rows) do not see, besides later ones.

        A shorter group must have the corner of a longer one's answer, or None if that is None: nothing else is hidden
        from this kind. A token sees itself whatever is said here.
        """
        return None

    @property
    def hides(self) -> bool:
        """Whether :meth:`hidden` is overridden."""
        return type(self).hidden is not AttentionPattern.hidden

    def scores(self, length: int, most: int | None = None) -> int:
        """Return how many scores a head has over ``length`` tokens, N^2 in a group of N: the mean of all kinds.

        Args:
            most: count groups of more tokens than this as ones of this many.
        """
        groups = [kind.cut(length) for kind in self.kinds]
        return sum(min(n, most or n) ** 2 for own in groups for n in own) // len(groups)


WHOLE = AttentionPattern()
