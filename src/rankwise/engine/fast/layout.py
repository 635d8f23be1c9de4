"""Sequences end to end: the rows of one pass, and how attention finds the sequences in them again.

Everything outside attention acts on rows, so linears, norms and MLPs run on (1, total) real tokens. Attention takes
sequences of like length together, filled up to the longest of the group: at most a fifth of it is filling, and one
batched product of 200 rows is faster than eight of 25. Groups never cross two parts of a pass, so what a part computes
does not depend on its neighbors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from rankwise.engine.batches import Batch
from rankwise.models.attention_pattern import WHOLE, AttentionPattern

# A sequence joins a group when it has at least this share of the group's longest.
_ALIKE = 0.8
# Longest pass of one group: bounds the score matrices held at once.
_GROUP_TOKENS = 2048


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences of one part that attention takes together.

    Attributes:
        start, stop: their rows in the pass.
        count, length: sequences, and the length to which each is filled up.
        fill: (count * length,) for each filled row the row (from ``start``) it repeats; None when nothing is filled.
        real: (stop - start,) where each real row stands among the filled ones; None when nothing is filled.
    """

    start: int
    stop: int
    count: int
    length: int
    fill: Tensor | None
    real: Tensor | None


@dataclass(frozen=True, eq=False)
class Piece:
    """One part of a pass in which not all parts attend alike.

    Attributes:
        start, stop: its rows in the pass.
        pattern: how it attends.
        kinds: its layout, rows counted from ``start``, for every kind of heads of the pattern.
    """

    start: int
    stop: int
    pattern: AttentionPattern
    kinds: tuple[Layout, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """The rows of one pass.

    Attributes:
        ids, positions: (1, total) token ids, and positions that begin at 0 in every sequence.
        groups: for attention; together they cover all rows, in order.
        targets: (M,) rows whose next token is a target, part by part, example by example.
        next_ids: (M,) those next tokens.
        spans: (start, stop) rows of every part.
        counts: targets of every part; sums to M.
        pieces: the parts one by one, where one has a pattern; else empty.
        hides: which keys of a group of this many tokens its queries do not see, besides later ones; None: no others.
        masks: those made so far (see :meth:`mask`); windows: those that attention asked for, None for none.
    """

    ids: Tensor
    positions: Tensor
    groups: tuple[Group, ...]
    targets: Tensor
    next_ids: Tensor
    spans: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    pieces: tuple[Piece, ...] = ()
    hides: Callable[[int], Tensor | None] | None = None
    masks: dict[tuple[int, int, int | None], Tensor] = field(default_factory=dict)
    windows: set[int | None] = field(default_factory=set)

    def mask(self, length: int, repeats: int, window: int | None, like: Tensor) -> Tensor:
        """Return the additive causal mask (repeats * length, length), made once per pass."""
        key = (length, repeats, window)
        if key not in self.masks:
            at = torch.arange(length, device=like.device)
            hidden = at[None, :] > at[:, None]
            if window is not None:
                hidden |= at[None, :] <= at[:, None] - window
            if self.hides is not None and (more := self.hides(length)) is not None:
                hidden |= more.to(like.device).fill_diagonal_(False)
            mask = like.new_zeros(length, length).masked_fill_(hidden, float("-inf"))
            self.masks[key] = mask.repeat(repeats, 1)
        return self.masks[key]


def lay_out(batches: Sequence[Batch]) -> Layout:
    """Put the real tokens of ``batches`` end to end, part after part."""
    ids, positions, targets, spans, groups = [], [], [], [], []
    start = 0
    for batch in batches:
        device = batch.ids.device
        lengths = torch.tensor(batch.lengths, device=device)
        column = torch.arange(batch.ids.shape[1], device=device)
        real = column[None, :] < lengths[:, None]
        ids.append(batch.ids[real])
        positions.append(column.expand_as(batch.ids)[real])
        first = torch.cumsum(lengths, 0) - lengths + start
        targets.append(first[batch.rows] + batch.columns)
        groups += _group(batch.lengths, start, device)
        total = sum(batch.lengths)
        spans.append((start, start + total))
        start += total
    layout = Layout(
        ids=torch.cat(ids)[None],
        positions=torch.cat(positions)[None],
        groups=tuple(groups),
        targets=torch.cat(targets),
        next_ids=torch.cat([batch.next_ids for batch in batches]),
        spans=tuple(spans),
        counts=tuple(len(batch.next_ids) for batch in batches),
    )
    if all(batch.attention == WHOLE for batch in batches):
        return layout
    pieces = (Piece(*span, batch.attention, _kinds(layout, batch)) for batch, span in zip(batches, spans, strict=True))
    return replace(layout, pieces=tuple(pieces))


def _kinds(layout: Layout, batch: Batch) -> tuple[Layout, ...]:
    """Return the layout of one part for every kind of heads of its pattern.

    A group of tokens sees nothing outside itself, so to attention it is a sequence.
    """
    device, pattern = batch.ids.device, batch.attention
    found = []
    for number, kind in enumerate(pattern.kinds):
        cut = [size for length in batch.lengths for size in kind.cut(length)]
        own = replace(layout, groups=tuple(_group(cut, 0, device)))
        if pattern.hides:
            own = replace(own, hides=functools.partial(pattern.hidden, number), masks={})
        found.append(own)
    return tuple(found)


def _group(lengths: Sequence[int], start: int, device: torch.device) -> list[Group]:
    """Cut the sequences of one part into runs of like length, in their order."""
    runs: list[list[int]] = []
    for length in lengths:
        if runs:
            longest, shortest = max(*runs[-1], length), min(*runs[-1], length)
            if shortest >= _ALIKE * longest and longest * (len(runs[-1]) + 1) <= _GROUP_TOKENS:
                runs[-1].append(length)
                continue
        runs.append([length])
    groups = []
    for run in runs:
        rows, longest = sum(run), max(run)
        fill, real = _filling(run, longest, device) if min(run) < longest else (None, None)
        groups.append(Group(start, start + rows, len(run), longest, fill, real))
        start += rows
    return groups


def _filling(run: list[int], longest: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ``fill`` and ``real`` of a group."""
    fill: list[int] = []
    real: list[int] = []
    first = 0
    for i, length in enumerate(run):
        # A filled row repeats its sequence's last token: finite whenever the sequence is, read by nobody.
        fill += [first + min(t, length - 1) for t in range(longest)]
        real += range(i * longest, i * longest + length)
        first += length
    return torch.tensor(fill, device=device), torch.tensor(real, device=device)
