"""Root-mean-square normalizations (Llama, Qwen, Gemma): a gain and no bias, so (d_out, d_in) is (width, 1)."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from rankwise.adapters.hosts.base import HostKind


class RMSNorm(HostKind):
    """Recognized by its name, one vector and an epsilon; what it computes is held to the layer itself in the tests."""

    name: ClassVar[str] = "RMSNorm"
    vector: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Need a class called so, one parameter with one dimension, and its epsilon."""
        named = any(c.__name__.endswith("RMSNorm") for c in type(module).__mro__)
        own = [name for name, p in module._parameters.items() if p is not None]
        return named and own == ["weight"] and cast(Tensor, module.weight).dim() == 1 and _epsilon(module) is not None

    def shape(self, module: nn.Module) -> tuple[int, int]:
        """Return the width, and 1: its vectors."""
        return len(self.weight(module)), 1

    def normalized(self, module: Any, x: Tensor) -> Tensor:
        """Return x over the root of its mean square, in float32 or wider."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + cast(float, _epsilon(module)))


def _epsilon(module: Any) -> float | None:
    found = getattr(module, "variance_epsilon", None)
    return cast("float | None", getattr(module, "eps", None) if found is None else found)
