"""Padded passes with shifted sparse attention (:class:`rankwise.adapters.events.ShiftedAttention`).

The model's own code runs; attention goes through transformers' registry for the length of one pass. Each half of the
heads is filled up in front (the moved half) and at the end, so that its groups are blocks of G tokens, and the model's
own mask, with causality, padding and windows in it, is cut into the same blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankwise.engine.fast.hook import FOREIGN, attention_named
from rankwise.engine.fast.pieces import still
from rankwise.errors import UsageError

NAME = "rankwise_shifted"


@dataclass
class _Asked:
    group: int
    calls: int = 0


_asked: ContextVar[_Asked] = ContextVar("rankwise_shifted")


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
    S = q @ k.transpose(-1, -2) * scaling
    if softcap is not None:
        S = torch.tanh(S / softcap) * softcap
    P = torch.softmax(S.to(torch.promote_types(S.dtype, torch.float32)) + mask, -1)
    return (P.to(v.dtype) @ v).flatten(2, 3)[:, :, front : front + length]


def _function(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return (N, S, heads, width); query is (N, heads, S, width), key and value have as many heads or fewer."""
    asked = _asked.get()
    if foreign := [name for name in FOREIGN if others.get(name) is not None]:
        raise UsageError(f"this model's attention uses {foreign[0]}, which attention in groups does not compute.")
    if attention_mask is None or dropout or key.shape[2] != query.shape[2]:
        raise UsageError("this model's attention has no mask of its own, drops out or reads other keys than tokens.")
    asked.calls += 1
    heads, scale = query.shape[1], query.shape[-1] ** -0.5 if scaling is None else scaling
    key, value = (x.repeat_interleave(heads // key.shape[1], 1) for x in (key, value))
    sizes = [still(heads), heads - still(heads)]
    masks = attention_mask.split(sizes, 1) if attention_mask.shape[1] == heads else (attention_mask, attention_mask)
    halves = zip(*(x.split(sizes, 1) for x in (query, key, value)), masks, (asked.group, asked.group // 2), strict=True)
    out = [blocks(q, k, v, mask, first, asked.group, scale, softcap) for q, k, v, mask, first in halves]
    return torch.cat(out, 1).transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def shifted(model: Any, group: int | None) -> Iterator[None]:
    """Let ``model`` attend in shifted groups of ``group`` tokens inside the block; None: as ever.

    Raises:
        UsageError: the model does not let its attention be replaced, or it cannot be cut into groups.
    """
    if group is None:
        yield
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _function)
    AttentionMaskInterface.register(NAME, eager_mask)
    asked = _Asked(group)
    token = _asked.set(asked)
    try:
        with attention_named(model, NAME):
            yield
    finally:
        _asked.reset(token)
    if not asked.calls:
        raise UsageError("this model's attention does not go through transformers' registry; leave group out.")
