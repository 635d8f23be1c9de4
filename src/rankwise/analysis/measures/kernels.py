"""The neural tangent kernel of full fine-tuning and of LoRA: Malladi et al., 2022, arXiv 2210.05643.

With G the gradient of a scalar output with respect to a weight (d_out, d_in):

    K(x, x')      = sum over layers <G, G'>
    K_LoRA(x, x') = sum over layers <G A^T, G' A^T>     B = 0, entries of A from N(0, 1/r), scale 1
    SignGD        = sum over layers <sign G, sign G'>   what sign descent, and so Adam at first, would see
    A-SignGD      = sum over layers <sign G, G'>        the sign on the trained side (rows) only: not symmetric

K_LoRA is unbiased and its error shrinks as 1/sqrt(r) (Johnson and Lindenstrauss).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def tangent_kernel(gradients: list[Tensor]) -> Tensor:
    """Return K (n, n) from per-example gradients, one (n, d_out, d_in) tensor per layer."""
    flat = [G.reshape(len(G), -1) for G in gradients]
    return torch.stack([g @ g.T for g in flat]).sum(0)


def lora_kernel(gradients: list[Tensor], rank: int, generator: torch.Generator) -> Tensor:
    """Return K_LoRA (n, n) at the start for one draw of every layer's A (rank, d_in)."""
    seen = []
    for G in gradients:
        A = torch.randn(rank, G.shape[2], generator=generator, dtype=G.dtype) / math.sqrt(rank)
        seen.append((G @ A.T).reshape(len(G), -1))
    return torch.stack([g @ g.T for g in seen]).sum(0)


def sign_kernel(gradients: list[Tensor]) -> Tensor:
    """Return SignGD's kernel (n, n), entries from -p to p with p weights."""
    return tangent_kernel([G.sign() for G in gradients])


def asymmetric_sign_kernel(gradients: list[Tensor]) -> Tensor:
    """Return A-SignGD's kernel (n, n): row x is how a sign step on x lowers every f(x') to first order."""
    flat = [G.reshape(len(G), -1) for G in gradients]
    return torch.stack([g.sign() @ g.T for g in flat]).sum(0)


def relative_error(K: Tensor, reference: Tensor) -> float:
    """Return |K - reference|_F / |reference|_F."""
    return float(torch.linalg.matrix_norm(K - reference) / torch.linalg.matrix_norm(reference))


def token_pair_deviation(delta: Tensor, delta2: Tensor, x: Tensor, x2: Tensor, rank: int) -> float:
    """Return the standard deviation of <d, d'> <A x, A x'> over A, for one pair of tokens.

    <d, d'> sqrt((|x|^2 |x'|^2 + <x, x'>^2) / r), as a random projection to r dimensions has it.
    """
    inner = float(delta @ delta2)
    return abs(inner) * math.sqrt((float(x @ x) * float(x2 @ x2) + float(x @ x2) ** 2) / rank)


def log_slope(x: list[float], y: list[float]) -> float:
    """Return the least-squares slope of log y on log x."""
    a, b = ([math.log(v) for v in values] for values in (x, y))
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    up = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    return up / sum((p - mean_a) ** 2 for p in a)


def min_rank(outputs: int, samples: int) -> int:
    """Return the smallest r with r (r + 1) / 2 > K N: no spurious local minima (Jang et al., 2024, arXiv 2402.11867).

    Raises:
        ValueError: fewer than one output or sample.
    """
    if outputs < 1 or samples < 1:
        raise ValueError(f"outputs and samples must be at least 1, found {outputs} and {samples}")
    product = outputs * samples
    rank = (math.isqrt(8 * product + 1) - 1) // 2  # largest with r (r + 1) / 2 <= K N
    return rank + 1
