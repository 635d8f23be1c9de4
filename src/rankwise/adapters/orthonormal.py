"""Random orthonormal vectors, for starts."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormal_columns(rows: int, columns: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Return (rows, columns) with orthonormal columns, uniformly distributed: QR of a normal matrix, signs fixed."""
    Q, R = torch.linalg.qr(torch.randn(rows, columns, generator=generator, dtype=dtype))
    return Q * R.diagonal().sign()
