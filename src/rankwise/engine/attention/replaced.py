"""Attention of our own inside a padded pass: the model's code runs, and every layer's attention is one given function.

It goes through transformers' registry, in plain products: fused kernels take no function of the scores and no groups.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankwise.engine.fast.hook import FOREIGN, attention_named
from rankwise.errors import UsageError

NAME = "rankwise_attending"


@dataclass(frozen=True)
class Heads:
    """What one layer asks its attention for.

    Attributes:
        query, key, value: (N, heads, S, width), as many heads each.
        mask: (N or 1, heads or 1, S, S), added to the scores; the lowest finite number where a key may not be seen.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor
    scaling: float
    softcap: float | None


Compute = Callable[[Heads], Tensor]
"""From :class:`Heads` to (N, heads, S, width)."""


@dataclass
class _Asked:
    compute: Compute
    foreign: str
    unfit: str
    calls: int = 0


_asked: ContextVar[_Asked] = ContextVar(NAME)


def scores(query: Tensor, key: Tensor, scaling: float, softcap: float | None) -> Tensor:
    """Return scores (..., S, S) without a mask, float32 or wider."""
    S = query @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        S = torch.tanh(S / softcap) * softcap
    return S.to(torch.promote_types(S.dtype, torch.float32))


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
        raise UsageError(f"this model's attention uses {foreign[0]}, which {asked.foreign}.")
    if attention_mask is None or dropout or key.shape[2] != query.shape[2]:
        raise UsageError(f"this model's attention {asked.unfit}.")
    asked.calls += 1
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = asked.compute(Heads(query, key, value, attention_mask, scale, softcap))
    return out.transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def attending(model: Any, compute: Compute, *, foreign: str, unfit: str, instead: str) -> Iterator[None]:
    """Let ``compute`` be the attention of every layer of ``model`` inside the block.

    Args:
        foreign, unfit, instead: ends of the sentences for a model whose attention takes what ``compute`` does not know,
            is not of the kind it is for, or cannot be replaced at all.

    Raises:
        UsageError: one of these.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _function)
    AttentionMaskInterface.register(NAME, eager_mask)
    asked = _Asked(compute, foreign, unfit)
    token = _asked.set(asked)
    try:
        with attention_named(model, NAME):
            yield
    finally:
        _asked.reset(token)
    if not asked.calls:
        raise UsageError(f"this model's attention does not go through transformers' registry; {instead}.")
