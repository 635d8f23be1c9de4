"""Our attention in transformers' registry: the model's own code runs, and calls us for attention alone.

The model's configuration names the implementation; it is set for the length of one pass and set back, whatever
happens. An implementation without a mask function gets no mask from transformers, so none is built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

from rankwise.engine.fast.layout import Layout
from rankwise.engine.fast.pieces import attend_pieces

NAME = "rankwise_flat"
_layout: ContextVar[Layout] = ContextVar("rankwise_layout")
# Arguments of other attention functions that change what is computed: a model that passes one is not ours to run.
FOREIGN = ("position_bias", "s_aux", "head_mask", "alibi")


class UnsupportedError(Exception):
    """The model asks for an attention that this path does not compute."""


def _function(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return (1, T, heads, width); query, key and value are (1, heads, T, width)."""
    layout = _layout.get()
    if foreign := [name for name in FOREIGN if others.get(name) is not None]:
        raise UnsupportedError(f"attention with {foreign[0]}")
    if dropout or attention_mask is not None or not getattr(module, "is_causal", True):
        raise UnsupportedError("attention with dropout, a mask of its own or a view ahead")
    if query.shape[0] != 1 or query.shape[2] != layout.ids.shape[1] or key.shape[2] != query.shape[2]:
        raise UnsupportedError("attention over other rows than those of the pass")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    layout.windows.add(sliding_window)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return attend_pieces(q, k, v, layout, scaling, sliding_window, softcap)[None], None


@contextlib.contextmanager
def flat_attention(model: Any, layout: Layout) -> Iterator[None]:
    """Let ``model`` attend by ``layout`` inside the block; its configuration is as before afterwards."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _function)
    token = _layout.set(layout)
    try:
        with attention_named(model, NAME):
            yield
    finally:
        _layout.reset(token)


@contextlib.contextmanager
def attention_named(model: Any, name: str) -> Iterator[None]:
    """Let ``model`` attend by the registry's ``name`` inside the block."""
    named = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    configs = [config for config in named.values() if hasattr(config, "_attn_implementation_internal")]
    before = [(config, config._attn_implementation_internal) for config in configs]
    try:
        for config, _ in before:
            # The field behind the property, whose setter reaches into sub-configurations that are not restored here.
            config._attn_implementation_internal = name
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation
