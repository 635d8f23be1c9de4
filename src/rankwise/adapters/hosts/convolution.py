"""``torch.nn.Conv1d``, ``Conv2d`` and ``Conv3d``: every patch of the input is one row.

The kernel (out, in, k, ...) is the matrix (out, in k ...), so an update ``B A`` is a convolution with ``rank`` kernels
of the same size followed by a 1 x 1 convolution (arXiv 2106.09685, the authors' code). Patches
are laid out in full: clear, not lean.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import pad

from rankwise.adapters.hosts.base import HostKind


class Convolution(HostKind):
    """A convolution in one, two or three dimensions with one group."""

    name: ClassVar[str] = "Convolution"
    rows: ClassVar[bool] = False

    def fits(self, module: nn.Module) -> bool:
        """A grouped convolution is block-diagonal, which a dense update would not respect."""
        return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.groups == 1

    def matrix(self, stored: Tensor) -> Tensor:
        """Flatten the kernel."""
        return stored.flatten(1)

    def stored(self, module: Any, W: Tensor) -> Tensor:
        """Give the matrix the kernel's shape again."""
        return W.reshape(module.weight.shape).contiguous()

    def shape(self, module: Any) -> tuple[int, int]:
        """Return (out, in k ...)."""
        return module.out_channels, module.in_channels * math.prod(module.kernel_size)

    def enter(self, module: Any, x: Tensor) -> Tensor:
        """Return patches (N, *places, in k ...)."""
        space = len(module.kernel_size)
        if x.dim() == space + 1:
            x = x.unsqueeze(0)
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        x = pad(x, module._reversed_padding_repeated_twice, mode=mode)
        for axis, (size, step, gap) in enumerate(zip(module.kernel_size, module.stride, module.dilation, strict=True)):
            x = x.unfold(2 + axis, gap * (size - 1) + 1, step)[..., ::gap]
        # (N, in, *places, k, ...) -> (N, *places, in, k, ...)
        return x.movedim(1, 1 + space).flatten(1 + space)

    def leave(self, module: Any, update: Tensor, x: Tensor) -> Tensor:
        """Return (N, out, *places), without N when the input had none."""
        y = update.movedim(-1, 1)
        return y.squeeze(0) if x.dim() == len(module.kernel_size) + 1 else y

    def back(self, module: Any, y: Tensor) -> Tensor:
        """Return (N, *places, out)."""
        y = y.unsqueeze(0) if y.dim() == len(module.kernel_size) + 1 else y
        return y.movedim(1, -1)
