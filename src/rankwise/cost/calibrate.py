"""How fast this machine multiplies matrices: the floor of any time estimate."""

from __future__ import annotations

import time

import torch

LARGEST = 4096  # a larger side is no faster and needs gigabytes


def gemm_rate(rows: int, d_in: int, d_out: int, dtype: torch.dtype, device: str = "cpu", seconds: float = 1.0) -> float:
    """Measure operations per second of (rows x d_in) @ (d_in x d_out), the best of repeats over ``seconds``.

    The best, not the mean: another program on the machine can only slow a product down.
    """
    rows, d_in, d_out = (min(size, LARGEST) for size in (rows, d_in, d_out))
    x = torch.ones(rows, d_in, dtype=dtype, device=device)
    W = torch.ones(d_in, d_out, dtype=dtype, device=device)
    out = torch.empty(rows, d_out, dtype=dtype, device=device)
    best = float("inf")
    end = time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        _wait(device)
        started = time.perf_counter()
        torch.mm(x, W, out=out)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * d_in * d_out / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
