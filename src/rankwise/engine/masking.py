"""Passes in which an event says what attention weights are, and what the feed-forward part hands on.

The model's own code runs. Attention goes through transformers' registry, in plain products: fused kernels take no
function of the logits. The feed-forward part is reached by a hook on its last projection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.ia3 import LAST_PROJECTION
from rankwise.engine.fast.hook import FOREIGN, attention_named
from rankwise.errors import UsageError

NAME = "rankwise_masked"
Change = Callable[[Tensor], Tensor]


@dataclass
class _Asked:
    weigh: Change
    calls: int = 0


_asked: ContextVar[_Asked] = ContextVar("rankwise_masked")


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
        raise UsageError(f"this model's attention uses {foreign[0]}, which an event cannot drop keys beside.")
    if attention_mask is None or dropout:
        raise UsageError("this model's attention has no mask of its own or drops out, so an event cannot drop keys.")
    asked.calls += 1
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    S = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        S = torch.tanh(S / softcap) * softcap
    S = S.to(torch.promote_types(S.dtype, torch.float32))
    # transformers' masks say "not allowed" by the lowest finite number.
    hidden = attention_mask < torch.finfo(attention_mask.dtype).min / 2
    P = asked.weigh((S + attention_mask.masked_fill(hidden, 0.0)).masked_fill(hidden, float("-inf")))
    return (P.to(value.dtype) @ value).transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def masking(model: Any, weigh: Change | None, cut: Change | None) -> Iterator[None]:
    """Let ``weigh`` turn logits into weights and ``cut`` change hidden numbers inside the block; None: as ever.

    Args:
        weigh: from (N, heads, S, S) in float32 or wider, -inf where a key may not be seen.
        cut: from the input (..., width) of the last projection of every feed-forward part.

    Raises:
        UsageError: the model does not let its attention be replaced, or has no known feed-forward part.
    """
    with contextlib.ExitStack() as stack:
        if cut is not None:
            change = cut
            last = [module for name, module in model.named_modules() if LAST_PROJECTION.search(name)]
            if not last:
                raise UsageError("this model has no feed-forward projection by a known name; set hidden to 0.")
            for module in last:
                hook = module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]), *inputs[1:]))
                stack.callback(hook.remove)
        if weigh is None:
            yield
            return
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import eager_mask

        AttentionInterface.register(NAME, _function)
        AttentionMaskInterface.register(NAME, eager_mask)
        asked = _Asked(weigh)
        token = _asked.set(asked)
        stack.callback(_asked.reset, token)
        stack.enter_context(attention_named(model, NAME))
        yield
        if not asked.calls:
            raise UsageError("this model's attention does not go through transformers' registry; set keys to 0.")
