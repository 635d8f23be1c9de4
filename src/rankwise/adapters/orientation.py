"""Layers that store their weight one way or the other, seen always as (d_out, d_in).

``nn.Linear`` stores (d_out, d_in); the Conv1D of GPT-2 in transformers stores (d_in, d_out). An embedding is the linear
map of a one-hot vector: its table (vocabulary, dimension) is (d_in, d_out).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear


def is_conv1d(module: nn.Module) -> bool:
    """Return whether ``module`` is transformers' Conv1D (recognized without importing transformers)."""
    return any(
        base.__name__ == "Conv1D" and base.__module__.startswith("transformers.") for base in type(module).__mro__
    )


def is_linear(module: nn.Module) -> bool:
    """Return whether ``module`` is a dense linear layer that can be adapted."""
    # nn.MultiheadAttention reads the weight of its out_proj and never calls it: an adapter there would do nothing.
    return (isinstance(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)) or is_conv1d(
        module
    )


def is_embedding(module: nn.Module) -> bool:
    """Return whether ``module`` looks up rows of a table."""
    return isinstance(module, nn.Embedding)


def is_transposed(module: nn.Module) -> bool:
    """Return whether ``module`` stores its weight as (d_in, d_out)."""
    return is_conv1d(module) or is_embedding(module)


def weight(module: nn.Module) -> Tensor:
    """Return the weight as (d_out, d_in), detached: a view, never to be written."""
    stored = cast(Tensor, module.weight).detach()
    return stored.T if is_transposed(module) else stored


def stored(module: nn.Module, W: Tensor) -> Tensor:
    """Turn a (d_out, d_in) matrix into the layout in which ``module`` stores it."""
    return W.T.contiguous() if is_transposed(module) else W


def shape(module: nn.Module) -> tuple[int, int]:
    """Return (d_out, d_in)."""
    d_out, d_in = weight(module).shape
    return d_out, d_in
