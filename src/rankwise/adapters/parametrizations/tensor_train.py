"""A and B as tensor trains: LoRETTA_rep, Yang et al., 2024, arXiv 2402.11417, sections 3.1 and 3.3.

    W = W0 + s * (B @ A - B0 @ A0)          A: (rank, d_in) and B: (d_out, rank), each a train of small cores

A matrix of ``d_in`` columns is a tensor of the sizes k_1 ... k_p with k_1 ... k_p = d_in, and a train writes it as a
chain of cores G_i: (t, k_i, t) with t = ``tensor_rank`` (1 at both ends). Every core starts N(0, 1) / sqrt(t) * v^(1/c)
with v = sqrt(1 / (d_in + rank)) and c cores, as in the authors' code. That start is not zero; the paper subtracts it
from W0, here it is a frozen copy of the cores (docs/design/methods.md#the-frozen-start).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, check_whole, project

PARTS = 3
_FROZEN = "_0"


def split(size: int, parts: int = PARTS) -> tuple[int, ...]:
    """Return at most ``parts`` factors of ``size``, as even as its prime factors allow, ascending.

    >>> split(576), split(1536), split(7)
    ((6, 8, 12), (8, 12, 16), (7,))
    """
    primes, rest, p = [], size, 2
    while p * p <= rest:
        while rest % p == 0:
            primes.append(p)
            rest //= p
        p += 1
    primes += [rest] if rest > 1 else []
    bins = [1] * parts
    for prime in sorted(primes, reverse=True):
        bins[bins.index(min(bins))] *= prime
    return tuple(sorted(size for size in bins if size > 1)) or (1,)


def core_shapes(name: str, sizes: tuple[int, ...], tensor_rank: int) -> Shapes:
    """Return the shapes of a train's cores by name (``name1``, ``name2``, ...)."""
    ends = (1, *[tensor_rank] * (len(sizes) - 1), 1)
    return {f"{name}{i + 1}": (ends[i], size, ends[i + 1]) for i, size in enumerate(sizes)}


def contract(cores: list[Tensor]) -> Tensor:
    """Return the tensor of a train as (t_0, all sizes together, t_c)."""
    whole = cores[0]
    for core in cores[1:]:
        whole = torch.einsum("asb,btc->astc", whole, core).reshape(len(whole), -1, core.shape[2])
    return whole


def matrix(factors: Factors, name: str, rank: int) -> Tensor:
    """Return the (rank, d) matrix of a train whose last core has the ``rank`` rows."""
    cores = [factors[key] for key in sorted(k for k in factors if k[0] == name and k[1:].isdigit())]
    return contract(cores).reshape(-1, rank).T


@dataclass(frozen=True)
class TensorTrain(Delta):
    """B A - B0 A0 with A and B contracted from cores."""

    name: ClassVar[str] = "tensor-train"
    needs: ClassVar[frozenset[str]] = frozenset()
    rate: ClassVar[float] = 3.0
    tensor_rank: int = 5

    def __post_init__(self) -> None:
        check_whole(self, tensor_rank=self.tensor_rank)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the cores of A (A1, A2, ...) and of B (B1, B2, ...), the rank as each train's last size."""
        A = core_shapes("A", (*split(d_in), rank), self.tensor_rank)
        return A | core_shapes("B", (*split(d_out), rank), self.tensor_rank)

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the same again: the start."""
        return {f"{name}{_FROZEN}": shape for name, shape in self.shapes(d_out, d_in, rank).items()}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the cores, and keep them."""
        d_out, d_in = host.W0.shape
        found: dict[str, Tensor] = {}
        for side, size in (("A", d_in), ("B", d_out)):
            cores = core_shapes(side, (*split(size), rank), self.tensor_rank)
            std = (1 / (size + rank)) ** (0.5 / len(cores)) / self.tensor_rank**0.5
            found |= {name: host.normal(generator, std, *shape) for name, shape in cores.items()}
        return found | {f"{name}{_FROZEN}": value.clone() for name, value in found.items()}

    def pairs(self, factors: Factors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return A (rank, d_in), B (d_out, rank), A0 and B0."""
        now = {name: value for name, value in factors.items() if not name.endswith(_FROZEN)}
        old = {name.removesuffix(_FROZEN): value for name, value in factors.items() if name.endswith(_FROZEN)}
        rank = now[max(name for name in now if name[0] == "A")].shape[1]
        A, B, A0, B0 = (matrix(of, side, rank) for of in (now, old) for side in "AB")
        return A, B.T, A0, B0.T

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """(B - B0) (A x) + B0 ((A - A0) x), differences taken before any rounding to the compute dtype."""
        A, B, A0, B0 = self.pairs(factors)
        x = drop(x)
        h, moved = project(x, A), project(x, A - A0)
        return linear(h, (B - B0).to(h.dtype)) + linear(moved, B0.to(h.dtype))

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense (B - B0) A + B0 (A - A0)."""
        A, B, A0, B0 = self.pairs(factors)
        return (B - B0) @ A + B0 @ (A - A0)

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor]:
        """[A; A - A0] and s [B - B0, B0]: rank 2r."""
        A, B, A0, B0 = self.pairs(factors)
        return torch.cat([A, A - A0]), host.scaling * torch.cat([B - B0, B0], dim=1)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(16/8) (B A - B_0 A_0), A and B tensor trains``."""
        return f"{scale} (B A - B_0 A_0), A and B tensor trains of rank {self.tensor_rank}"
