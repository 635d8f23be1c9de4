"""transformers' Conv1D (GPT-2): a linear layer whose weight is stored as (d_in, d_out)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from rankwise.adapters.hosts.base import HostKind


class Conv1D(HostKind):
    """A transposed linear layer, recognized without importing transformers."""

    name: ClassVar[str] = "Conv1D"
    linear: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Recognize the class by name and home."""
        return any(c.__name__ == "Conv1D" and c.__module__.startswith("transformers.") for c in type(module).__mro__)

    def matrix(self, stored: Tensor) -> Tensor:
        """Transpose."""
        return stored.T

    def stored(self, module: nn.Module, W: Tensor) -> Tensor:
        """Transpose."""
        return W.T.contiguous()
