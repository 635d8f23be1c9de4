"""``bitsandbytes.nn.Linear4bit``, as transformers loads a model with ``BitsAndBytesConfig(load_in_4bit=True)``.

Its weight is codes; W0 is what they stand for. Recognized without importing bitsandbytes.
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankwise.adapters.four_bits import functional
from rankwise.adapters.hosts.base import HostKind
from rankwise.errors import UsageError


class Linear4bit(HostKind):
    """A linear layer that bitsandbytes keeps in four bits."""

    name: ClassVar[str] = "Linear4bit"
    linear: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Recognize the class by name and home."""
        return any(
            c.__name__ == "Linear4bit" and c.__module__.startswith("bitsandbytes.") for c in type(module).__mro__
        )

    def matrix(self, stored: Any) -> Tensor:
        """Return the dequantized weight."""
        state = getattr(stored, "quant_state", None)
        if state is None:
            return stored  # not quantized yet: plain numbers
        flat = copy.copy(state)  # flat, for the reason given in storages/nf4.py
        flat.shape = torch.Size([math.prod(state.shape)])
        W: Tensor = functional().dequantize_4bit(stored.data, flat)
        return W.view(state.shape)

    def stored(self, module: nn.Module, W: Tensor) -> Tensor:
        """Refuse: writing it back would quantize again, and lose."""
        raise UsageError(
            "this layer is kept in four bits by bitsandbytes; merging would quantize again, which is not exact. Save "
            "the adapter and merge it into the unquantized model, or keep it beside the base."
        )

    def shape(self, module: Any) -> tuple[int, int]:
        """Return (d_out, d_in)."""
        return module.out_features, module.in_features
