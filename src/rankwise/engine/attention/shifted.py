"""Padded passes with shifted sparse attention (:class:`rankwise.adapters.events.ShiftedAttention`).

Each half of the heads is filled up in front (the moved half) and at the end, so that its groups are blocks of G tokens,
and the model's own mask, with causality, padding and windows in it, is cut into the same blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankwise.adapters import Adapter, Full
from rankwise.data import Encoded
from rankwise.engine.attention.replaced import Heads, attending, scores
from rankwise.engine.fast.pieces import still


def group_of(target: Adapter | Full, train: Sequence[Encoded]) -> int | None:
    """Return the tokens of a group that ``target`` trains with; None: full attention.

    Raises:
        UsageError: an event of it does not suit examples as short as these.
    """
    if not isinstance(target, Adapter):
        return None
    for event in target.events:
        event.check_lengths(max(len(example.input_ids) for example in train))
    return target.attention_group


def blocks(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, first: int, group: int, scaling: float, softcap: float | None
) -> Tensor:
    """Return attention within groups, the first one of ``first`` tokens, the others of ``group``.

    Args:
        q, k, v: (N, heads, S, width).
        mask: (N or 1, heads or 1, S, S), added to the scores; the lowest finite number where a key may not be seen.
    """
    length = q.shape[2]
    front = group - first
    back = -(front + length) % group
    count = (front + length + back) // group
    q, k, v = (pad(x, (0, 0, front, back)).unflatten(2, (count, group)) for x in (q, k, v))
    # What fills is seen by nobody: finite, so that a row of nothing else is no NaN.
    mask = pad(mask, (front, back, front, back), value=torch.finfo(mask.dtype).min)
    mask = mask.unflatten(3, (count, group)).unflatten(2, (count, group))
    mask = mask.diagonal(dim1=2, dim2=4).movedim(-1, 2)
    P = torch.softmax(scores(q, k, scaling, softcap) + mask, -1)
    return (P.to(v.dtype) @ v).flatten(2, 3)[:, :, front : front + length]


def _in_groups(asked: Heads, group: int) -> Tensor:
    """Return attention in which half of the heads attend in groups, the other half in groups moved by half of one."""
    heads = asked.query.shape[1]
    sizes = [still(heads), heads - still(heads)]
    masks = asked.mask.split(sizes, 1) if asked.mask.shape[1] == heads else (asked.mask, asked.mask)
    parts = (x.split(sizes, 1) for x in (asked.query, asked.key, asked.value))
    halves = zip(*parts, masks, (group, group // 2), strict=True)
    out = [blocks(q, k, v, mask, first, group, asked.scaling, asked.softcap) for q, k, v, mask, first in halves]
    return torch.cat(out, 1)


@contextlib.contextmanager
def shifted(model: Any, group: int | None) -> Iterator[None]:
    """Let ``model`` attend in shifted groups of ``group`` tokens inside the block; None changes nothing.

    Raises:
        UsageError: the model does not let its attention be replaced, or it cannot be cut into groups.
    """
    if group is None:
        yield
        return
    attention = attending(
        model,
        lambda asked: _in_groups(asked, group),
        foreign="attention in groups does not compute",
        unfit="has no mask of its own, drops out or reads other keys than tokens",
        instead="leave group out",
    )
    with attention:
        yield
