"""Shifted sparse attention (S2-Attn): LongLoRA, Chen et al., 2023, arXiv 2309.12307, section 3.2.

In training passes the tokens of a sequence attend within groups of G, causally; half of the heads have theirs moved by
G/2, so that what one group knows reaches the next one layer later. H heads, N tokens, G even:

    heads 0 .. H/2 - 1    groups [0, G)   [G, 2G)     [2G, 3G) ...
    heads H/2 .. H - 1    groups [0, G/2) [G/2, 3G/2) [3G/2, 5G/2) ...

The scores are N G instead of N^2 / 2 numbers a head. Scoring and inference have the model's own attention.

The paper rolls the tokens of the moved heads by -G/2 and rolls them back afterwards, so that the last group holds the
end of the sequence and then its beginning. The authors' code without flash attention leaves that group under the plain
causal mask: there the first G/2 tokens see the last ones, their own future. Their flash-attention code cuts the group
in two. So do we: nothing wraps, and every head is causal.

Deviations: G is a number of tokens, where the authors' code takes a quarter of the padded batch; it need not divide the
length (the last group of a sequence is shorter, and those of different sequences are apart); padding is in no group.
With an odd number of heads the larger half is moved, as in the authors' code without flash attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import whole
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import AttentionPattern, Kind


@dataclass(frozen=True)
class ShiftedGroups(AttentionPattern):
    """Groups of ``group`` tokens, moved by half a group in the second half of the heads."""

    group: int

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those that stay, and those that are moved."""
        return Kind(self.group), Kind(self.group, first=self.group // 2)

    def heads(self, count: int) -> tuple[int, int]:
        """Return both halves; the first is the smaller one of an odd number.

        Raises:
            UsageError: there are not two of them.
        """
        if count < 2:
            raise UsageError(f"shifted sparse attention moves half of the heads and needs 2 or more, found {count}.")
        return count // 2, count - count // 2


@dataclass(frozen=True)
class ShiftedAttention(Event):
    """Attention within groups of ``group`` tokens, moved by half a group in half of the heads, in training passes."""

    name: ClassVar[str] = "shifted-attention"
    needs: ClassVar[str] = "layers"
    doing: ClassVar[str] = "cuts the tokens themselves into groups"
    group: int = 2048

    def __post_init__(self) -> None:
        whole(self.name, "group", self.group, least=2)
        if self.group % 2:
            raise UsageError(
                f"group must be even, because half of the heads move by half a group, found {self.group} "
                f"(event {self.name!r})."
            )

    @property
    def attention(self) -> ShiftedGroups:
        """The groups."""
        return ShiftedGroups(self.group)

    def describe(self) -> str:
        """Return for instance ``training attention in shifted groups of 2048``."""
        return f"training attention in shifted groups of {self.group}"

    def check_lengths(self, longest: int) -> None:
        """Refuse data of which every example is a single group for all heads."""
        if longest <= self.group // 2:
            raise UsageError(
                f"group {self.group} of event {self.name!r} leaves every training example whole: the longest has "
                f"{longest} tokens, half a group is {self.group // 2}; use a smaller group, or none."
            )
