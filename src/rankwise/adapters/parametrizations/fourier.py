"""A few entries of a spectrum: FourierFT, Gao et al., 2024, arXiv 2405.03003, equations 2-4.

    W = W0 + scale * Re(ifft2(F))          F: (d_out, d_in), zero but for ``frequencies`` entries c

Which entries is drawn from ``seed``, and only their values c train. They start at zero here: no change to the model
(PEFT's default draws them from N(0, 1)). The scale is PEFT's 150; the paper's was not verified.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Dense, Factors, Host, Shapes, check_whole
from rankwise.errors import UsageError


@functools.lru_cache(maxsize=64)
def places(seed: int, size: int, count: int) -> Tensor:
    """Return ``count`` distinct indices below ``size``, as PEFT draws them."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count]


@dataclass(frozen=True)
class Fourier(Dense):
    """The real part of an inverse transform of a sparse spectrum."""

    name: ClassVar[str] = "fourier"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    rate: ClassVar[float] = 30.0
    frequencies: int = 1000
    scale: float = 150.0
    seed: int = 777

    def __post_init__(self) -> None:
        check_whole(self, frequencies=self.frequencies, **{"seed + 1": self.seed + 1})
        if (
            isinstance(self.scale, bool)
            or not isinstance(self.scale, (int, float))
            or not 0 < self.scale < float("inf")
        ):
            raise UsageError(f"scale of 'fourier' must be a positive number, found {self.scale!r}.")
        object.__setattr__(self, "scale", float(self.scale))

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer with fewer entries than frequencies."""
        if self.frequencies > d_out * d_in:
            raise UsageError(
                f"'fourier' with {self.frequencies} frequencies needs as many weights, but {module} is {d_out} x "
                f"{d_in}; use fewer frequencies or another placement."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """One number for each frequency."""
        return {"c": (self.frequencies,)}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return an empty tensor: the layer's size, which the values do not tell."""
        return {"size": (d_out, d_in, 0)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return c = 0."""
        return {"c": host.zeros(self.frequencies), "size": host.zeros(*host.size, 0)}

    def described_shapes(self) -> dict[str, str]:
        """Return the values."""
        return {"c": f"({self.frequencies},)"}

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Transform back."""
        c, (d_out, d_in, _) = factors["c"], factors["size"].shape
        where = places(self.seed, d_out * d_in, self.frequencies).to(c.device)
        F = c.new_zeros(d_out * d_in).index_put((where,), c)
        return self.scale * torch.fft.ifft2(F.view(d_out, d_in)).real

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``150 Re(ifft2(F)), 1000 entries of F train``."""
        return f"{self.scale:g} Re(ifft2(F)), {self.frequencies} entries of F train"
