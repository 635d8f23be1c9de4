"""Magnitude and direction of a weight update: DoRA, Liu et al., 2024, arXiv 2402.09353, section 3.2.

    dM = mean_k | |W_k| - |W0_k| |          dD = mean_k (1 - cos(W_k, W0_k))

over the vectors k along the chosen axis: the rows of torch's (d_out, d_in) weight for ``"out"``, as in DoRA's code.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def magnitude_direction(W: Tensor, W0: Tensor, axis: Literal["out", "in"] = "out") -> tuple[float, float]:
    """Return (dM, dD) of W against W0, both (d_out, d_in), computed in float64."""
    dim = 1 if axis == "out" else 0
    W, W0 = W.double(), W0.double()
    length, length0 = (torch.linalg.vector_norm(M, dim=dim) for M in (W, W0))
    safe = torch.where(length * length0 > 0, length * length0, 1.0)
    # 1 - cos as half the squared distance of unit vectors: 1 - 0.999... would keep few digits.
    one, other = (M / torch.where(n > 0, n, 1.0).unsqueeze(dim) for M, n in ((W, length), (W0, length0)))
    turned = torch.where(safe > 0, (one - other).square().sum(dim) / 2, 0.0)
    return float((length - length0).abs().mean()), float(turned.mean())


def pearson(x: list[float], y: list[float]) -> float:
    """Return Pearson's correlation; nan when one side does not vary."""
    a, b = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = float(torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return float(a @ b) / scale if scale else float("nan")
