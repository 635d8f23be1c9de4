"""Which layers can be adapted, and how each is seen as one matrix. One file per class of layer, one line here."""

from __future__ import annotations

from torch import nn

from rankwise.adapters.hosts.base import HostKind
from rankwise.adapters.hosts.conv1d import Conv1D
from rankwise.adapters.hosts.convolution import Convolution
from rankwise.adapters.hosts.embedding import Embedding
from rankwise.adapters.hosts.experts import Experts
from rankwise.adapters.hosts.linear import Linear
from rankwise.adapters.hosts.linear4bit import Linear4bit
from rankwise.adapters.hosts.norm import Norm
from rankwise.adapters.hosts.rms_norm import RMSNorm

HOSTS: tuple[HostKind, ...] = (
    Linear4bit(),
    Linear(),
    Conv1D(),
    Embedding(),
    Convolution(),
    Norm(),
    RMSNorm(),
    Experts(),
)

__all__ = ["HOSTS", "Conv1D", "HostKind", "has_matrix", "host_of"]


def has_matrix(module: nn.Module) -> bool:
    """Return whether ``module`` can carry an update of a matrix."""
    found = host_of(module)
    return found is not None and not found.vector and not found.stacked


def host_of(module: nn.Module) -> HostKind | None:
    """Return the kind of layer ``module`` is, or None when it cannot be adapted."""
    return next((host for host in HOSTS if host.fits(module)), None)
