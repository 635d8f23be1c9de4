"""Passes in which an event says what attention weights are, and what the feed-forward part hands on.

The model's own code runs. Attention is replaced by ``replaced.py``; the feed-forward part is reached by a hook on its
last projection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from rankwise.engine.attention.replaced import Heads, attending, scores
from rankwise.errors import UsageError
from rankwise.models.structure import LAST_PROJECTION

Change = Callable[[Tensor], Tensor]


def _weighed(asked: Heads, weigh: Change) -> Tensor:
    """Return attention with the weights that ``weigh`` makes of the masked scores."""
    S = scores(asked.query, asked.key, asked.scaling, asked.softcap)
    # transformers' masks say "not allowed" by the lowest finite number.
    hidden = asked.mask < torch.finfo(asked.mask.dtype).min / 2
    P = weigh((S + asked.mask.masked_fill(hidden, 0.0)).masked_fill(hidden, float("-inf")))
    return P.to(asked.value.dtype) @ asked.value


@contextlib.contextmanager
def masking(model: Any, weigh: Change | None, cut: Change | None) -> Iterator[None]:
    """Let ``weigh`` turn logits into weights and ``cut`` change hidden numbers inside the block; None changes nothing.

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
        attention = attending(
            model,
            lambda asked: _weighed(asked, weigh),
            foreign="an event cannot drop keys beside",
            unfit="has no mask of its own or drops out, so an event cannot drop keys",
            instead="set keys to 0",
        )
        stack.enter_context(attention)
        yield
