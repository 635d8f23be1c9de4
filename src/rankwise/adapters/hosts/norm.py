"""``torch.nn.LayerNorm`` with a bias: no matrix, but a gain and a bias that can move."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import layer_norm

from rankwise.adapters.hosts.base import HostKind


class Norm(HostKind):
    """A normalization over the last dimension; (d_out, d_in) is (width, width)."""

    name: ClassVar[str] = "LayerNorm"
    vector: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Need a weight, a bias and one normalized dimension."""
        return (
            isinstance(module, nn.LayerNorm)
            and module.elementwise_affine
            and module.bias is not None
            and len(module.normalized_shape) == 1
        )

    def shape(self, module: nn.Module) -> tuple[int, int]:
        """Return the width twice."""
        (width,) = self.weight(module).shape
        return width, width

    def normalized(self, module: Any, x: Tensor) -> Tensor:
        """Return the input with mean 0 and variance 1."""
        return layer_norm(x, module.normalized_shape, eps=module.eps)
