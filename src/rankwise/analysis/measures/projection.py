"""Random projections into a weight tensor: Fastfood, Le et al., 2013, as used for intrinsic dimension.

Li et al., 2018, arXiv 1804.08838; Aghajanyan et al., 2020, arXiv 2012.13255. For a tensor of D numbers and L the next
power of two:

    P z = first D entries of  H G Pi H B pad(z) / sqrt(L sum G^2) / sqrt(D / L)

H Walsh-Hadamard (entries +-1), G = diag N(0, 1), Pi a permutation, B = diag +-1. The last factor makes
E |P z|^2 = |z|^2 for the truncated vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 6  # Hadamard factors of 64 x 64: matrix products beat 20 memory passes by a factor of about ten


def hadamard(order: int) -> Tensor:
    """Return the (2^order, 2^order) Walsh-Hadamard matrix with entries +-1, float32."""
    H = torch.ones(1, 1)
    for _ in range(order):
        H = torch.cat([torch.cat([H, H], 1), torch.cat([H, -H], 1)])
    return H


def walsh_hadamard(x: Tensor) -> Tensor:
    """Return H x for x of length 2^k: the Kronecker factors of H, one matrix product each."""
    order = int(x.numel()).bit_length() - 1
    if x.dim() != 1 or x.numel() != 1 << order:
        raise ValueError(f"a Walsh-Hadamard transform needs a vector whose length is a power of 2, found {x.shape}")
    done = 0
    while done < order:
        step = min(_BLOCK, order - done)
        H = hadamard(step).to(x)
        x = (x.reshape(1 << (order - done - step), 1 << step, 1 << done).transpose(1, 2) @ H).transpose(1, 2)
        done += step
    return x.reshape(-1)


@dataclass(frozen=True)
class Fastfood:
    """One fixed projection from d numbers into a tensor of ``size`` numbers, a function of its seed.

    Attributes:
        sign, gauss: (L,) the diagonals B and G.
        order: (L,) the permutation Pi: entry i takes entry ``order[i]``.
    """

    size: int
    sign: Tensor
    gauss: Tensor
    order: Tensor

    @property
    def width(self) -> int:
        """L, the padded size."""
        return len(self.sign)

    @property
    def _norm(self) -> float:
        return math.sqrt(self.width * float(self.gauss.double().square().sum()) * self.size / self.width)

    def project(self, z: Tensor) -> Tensor:
        """Return P z, (size,)."""
        padded = torch.zeros(self.width, dtype=z.dtype)
        padded[: len(z)] = z
        inner = walsh_hadamard(padded * self.sign.to(z.dtype))[self.order]
        return walsh_hadamard(inner * self.gauss.to(z.dtype))[: self.size] / self._norm

    def transposed(self, g: Tensor, d: int) -> Tensor:
        """Return P^T g, (d,): the gradient of z from the gradient g (size,) of the tensor."""
        padded = torch.zeros(self.width, dtype=g.dtype)
        padded[: self.size] = g
        inner = walsh_hadamard(padded) * self.gauss.to(g.dtype)
        back = torch.empty_like(inner)
        back[self.order] = inner
        return (walsh_hadamard(back) * self.sign.to(g.dtype))[:d] / self._norm


def fastfood(size: int, d: int, seed: int) -> Fastfood:
    """Draw the projection of d numbers into ``size``; L covers both."""
    width = 1 << max(math.ceil(math.log2(max(size, d))), 0)
    stream = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (width,), generator=stream, dtype=torch.int8) * 2 - 1
    gauss = torch.randn(width, generator=stream)
    return Fastfood(size, sign, gauss, torch.randperm(width, generator=stream))


@dataclass(frozen=True)
class Crossing:
    """Where a rising curve first reaches its target.

    Attributes:
        d90: interpolated on a log axis between the bracket's ends; None when the curve never gets there.
        bracket: the last dimension below (None when the first is already there) and the first one at or above.
    """

    d90: float | None
    bracket: tuple[int | None, int | None]


def crossing(dimensions: list[int], gains: list[float], full_gain: float, share: float = 0.9) -> Crossing:
    """Return the smallest dimension whose gain is at least ``share`` of ``full_gain``: d90 of arXiv 2012.13255.

    Raises:
        ValueError: dimensions not ascending, or no positive gain to compare with.
    """
    if sorted(set(dimensions)) != dimensions or len(dimensions) != len(gains) or full_gain <= 0:
        raise ValueError("needs ascending dimensions, one gain each, and a positive gain of full fine-tuning")
    target = share * full_gain
    for k, (d, gain) in enumerate(zip(dimensions, gains, strict=True)):
        if gain >= target:
            if k == 0:
                return Crossing(float(d), (None, d))
            low, before = dimensions[k - 1], gains[k - 1]
            part = (target - before) / (gain - before) if math.isfinite(before) else 1.0  # that run diverged
            return Crossing(float(math.exp(math.log(low) + part * (math.log(d) - math.log(low)))), (low, d))
    return Crossing(None, (dimensions[-1], None))
