"""Padded passes with an attention pattern (:mod:`rankwise.models.attention_pattern`): every kind of heads by itself.

A kind with groups is filled up in front (where its first group is shorter) and at the end, so that its groups are
blocks of equal length, and the model's own mask, with causality, padding and windows in it, is cut into the same
blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankwise.engine.attention.replaced import Heads, attending, scores
from rankwise.models.attention_pattern import WHOLE, AttentionPattern, Kind


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
    return _within(q, k, v, mask, scaling, softcap).flatten(2, 3)[:, :, front : front + length]


def _within(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scaling: float, softcap: float | None) -> Tensor:
    """Return attention over the last two dimensions (tokens, width)."""
    P = torch.softmax(scores(q, k, scaling, softcap) + mask, -1)
    return P.to(v.dtype) @ v


def _hiding(mask: Tensor, pattern: AttentionPattern, number: int, kind: Kind) -> Tensor:
    """Return ``mask`` with what the pattern hides in every group of this kind."""
    parts = [pattern.hidden(number, size) for size in kind.cut(mask.shape[-1])]
    if any(part is None for part in parts):  # this kind hides nothing
        return mask
    hidden = torch.block_diag(*(part for part in parts if part is not None)).bool().fill_diagonal_(False)
    return mask.masked_fill(hidden.to(mask.device), torch.finfo(mask.dtype).min)


def _patterned(asked: Heads, pattern: AttentionPattern) -> Tensor:
    """Return attention in which every kind of heads attends in its own way."""
    heads = asked.query.shape[1]
    sizes = list(pattern.heads(heads))
    masks = asked.mask.split(sizes, 1) if asked.mask.shape[1] == heads else (asked.mask,) * len(sizes)
    parts = (x.split(sizes, 1) for x in (asked.query, asked.key, asked.value))
    out = []
    for number, (kind, q, k, v, mask) in enumerate(zip(pattern.kinds, *parts, masks, strict=True)):
        seen = _hiding(mask, pattern, number, kind) if pattern.hides else mask
        if kind.group is None:
            out.append(_within(q, k, v, seen, asked.scaling, asked.softcap))
        else:
            first = kind.first or kind.group
            out.append(blocks(q, k, v, seen, first, kind.group, asked.scaling, asked.softcap))
    return torch.cat(out, 1)


@contextlib.contextmanager
def patterned(model: Any, pattern: AttentionPattern) -> Iterator[None]:
    """Let ``model`` attend by ``pattern`` inside the block.

    Raises:
        UsageError: the model does not let its attention be replaced, or it has too few heads.
    """
    if pattern == WHOLE:
        yield
        return
    attention = attending(
        model,
        lambda asked: _patterned(asked, pattern),
        foreign="an attention pattern does not compute",
        unfit="has no mask of its own, drops out or reads other keys than tokens",
        instead="leave out the event that sets its pattern",
    )
    with attention:
        yield
