"""A layer's weight seen always as (d_out, d_in); how each class of layer stores it is in :mod:`.hosts`.

``nn.Linear`` stores (d_out, d_in); the Conv1D of GPT-2 in transformers stores (d_in, d_out). An embedding is the linear
map of a one-hot vector: its table (vocabulary, width) is (d_in, d_out).
"""

from __future__ import annotations

from torch import Tensor, nn

from rankwise.adapters.hosts import Conv1D, HostKind, host_of
from rankwise.adapters.parametrizations import Parametrization
from rankwise.errors import UsageError


def host(module: nn.Module) -> HostKind:
    """Return the kind of layer ``module`` is.

    Raises:
        UsageError: it is none that can be adapted.
    """
    found = host_of(module)
    if found is None:
        raise UsageError(f"a {type(module).__name__} cannot be adapted.")
    return found


def is_linear(module: nn.Module) -> bool:
    """Return whether ``module`` is a dense linear layer that can be adapted."""
    found = host_of(module)
    return found is not None and found.linear


def is_conv1d(module: nn.Module) -> bool:
    """Return whether ``module`` is transformers' Conv1D."""
    return isinstance(host_of(module), Conv1D)


def is_embedding(module: nn.Module) -> bool:
    """Return whether ``module`` is a table that can be adapted."""
    found = host_of(module)
    return found is not None and found.lookup


def weight(module: nn.Module) -> Tensor:
    """Return the weight as (d_out, d_in), detached: a view where it can be one, never to be written."""
    return host(module).weight(module)


def matrix(module: nn.Module, stored: Tensor) -> Tensor:
    """Turn a tensor in the layout in which ``module`` stores its weight into (d_out, d_in)."""
    return host(module).matrix(stored)


def stored(module: nn.Module, W: Tensor) -> Tensor:
    """Turn a (d_out, d_in) matrix into the layout in which ``module`` stores it."""
    return host(module).stored(module, W)


def shape(module: nn.Module) -> tuple[int, int]:
    """Return (d_out, d_in)."""
    return host(module).shape(module)


def part(parametrization: Parametrization, path: str, module: nn.Module) -> Parametrization:
    """Return what of ``parametrization`` sits on ``module``, whose dotted name is ``path``."""
    kind = host(module)
    return parametrization.at(path).of(kind.stacks(module), kind.active(module))


def sample(module: nn.Module) -> Tensor:
    """Return a tensor with the dtype and the device of the layer's weight."""
    own = getattr(module, "weight", None)
    return own if isinstance(own, Tensor) else weight(module)
