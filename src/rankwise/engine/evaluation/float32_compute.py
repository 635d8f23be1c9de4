"""A model that computes in float32 for a moment, without a second copy of it.

What is compared before and after an event may be closer than bfloat16 can tell apart, so events measure their loss in
float32 whatever the run computes in. Block by block, so that a large base needs room for one block more, not for two of
itself; what lies outside the blocks (embeddings, last norm, head) is wide throughout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

_NARROW = (torch.bfloat16, torch.float16)


def wide_dtype(model: nn.Module) -> torch.dtype:
    """Return what ``model`` computes in inside :func:`widened`: float32, or what it has when that is wider."""
    return torch.promote_types(next(model.parameters()).dtype, torch.float32)


@contextlib.contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Let ``model`` compute in float32 inside the block; its half-precision tensors come back bit for bit.

    Passes only: inside, a tensor of a block is wide no longer than the block's own forward pass.
    """
    blocks = [child for group in _outermost(model) for child in group]
    inside = {id(t) for block in blocks for t in _narrow(block)}
    narrow: dict[int, tuple[Tensor, Tensor]] = {}  # the tensor, and what it held

    def widen(tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if tensor.dtype in _NARROW and id(tensor) not in narrow:
                narrow[id(tensor)] = tensor, tensor.data
                tensor.data = tensor.data.float()

    def restore(tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if id(tensor) in narrow:
                kept, value = narrow.pop(id(tensor))
                kept.data = value

    def opened(block: nn.Module, inputs: Any) -> None:
        widen(_tensors(block))

    def closed(block: nn.Module, inputs: Any, output: Any) -> None:
        restore([t for t in _tensors(block) if id(t) in inside])

    hooks = [block.register_forward_pre_hook(opened) for block in blocks if list(_narrow(block))]
    hooks += [block.register_forward_hook(closed) for block in blocks if list(_narrow(block))]
    try:
        widen([t for t in _narrow(model) if id(t) not in inside])
        yield
    finally:
        for hook in hooks:
            hook.remove()
        restore([tensor for tensor, _ in list(narrow.values())])


def _outermost(model: nn.Module) -> Iterator[nn.ModuleList]:
    """The lists of blocks that lie in no other list."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost(child)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _narrow(module: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in _tensors(module) if tensor.dtype in _NARROW)
