"""May one product serve several runs? Only where a row of it does not depend on the rows beside it.

On CPU this holds for bf16 at any number of rows and for float32 from some number up (16 where we measured), but it is
a property of the processor, the library and the number of threads, so it is measured: :func:`least_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rankwise.adapters import orientation

_SIZES = (133, 64, 40, 32, 17, 16, 8, 5, 4, 3, 2, 1)
_OFFSET = 3  # a run's rows rarely begin where the allocator would have put them


def least_rows(modules: Iterable[nn.Module]) -> int | None:
    """Return the least number of rows from which the products of these linear layers are independent of others.

    None when even 64 rows are not, or off the CPU, where nothing is promised.
    """
    found: dict[tuple[object, ...], nn.Module] = {}
    for module in modules:
        if orientation.is_linear(module):
            W = orientation.weight(module)
            if W.device.type != "cpu":
                return None
            found.setdefault((*W.shape, W.dtype, W.stride(), module.bias is None), module)
    least = 1
    for module in found.values():
        dependent = _largest_dependent(module)
        least = max(least, dependent + 1)
    return least if least <= 64 else None


def _largest_dependent(module: nn.Module) -> int:
    """Return the largest number of rows that came out otherwise among more rows than alone; 0 when none did."""
    d_out, d_in = orientation.shape(module)
    dtype = orientation.weight(module).dtype
    stream = torch.Generator().manual_seed(0)
    many = 2 * max(_SIZES)
    x = torch.randn(many, d_in, generator=stream).to(dtype)
    dy = torch.randn(many, d_out, generator=stream).to(dtype)
    with torch.no_grad():
        whole = _products(module, x, dy)
        for rows in _SIZES:
            part = slice(_OFFSET, _OFFSET + rows)
            alone = _products(module, x[part].clone(), dy[part].clone())
            if not all(torch.equal(a, w[part]) for a, w in zip(alone, whole, strict=True)):
                return rows
    return 0


def _products(module: nn.Module, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """The two products of a frozen layer: forward, and the gradient of its input."""
    W = orientation.weight(module)
    bias = module.bias if isinstance(module.bias, Tensor) else None
    if orientation.is_conv1d(module) and bias is not None:
        return torch.addmm(bias, x, W.T), dy @ W
    return linear(x, W, bias), dy @ W
