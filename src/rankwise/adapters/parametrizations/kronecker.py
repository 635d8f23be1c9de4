"""A Kronecker product: LoKr, Yeh et al. (LyCORIS), 2023, arXiv 2309.14859, section 3.

    W = W0 + s * kron(C, E)          C: (m1, n1), E: (m2, n2), m1 m2 = d_out, n1 n2 = d_in
    E = B @ A                        A: (rank, n2), B: (m2, rank), where the rank is below half of E's larger side

C starts at zero, A and B (or E) Kaiming-uniform. The sides are split as near their square roots as they can be, or by
``factor``; C has the smaller parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Dense, Factors, Host, Shapes
from rankwise.errors import UsageError


def divisors(size: int, factor: int) -> tuple[int, int]:
    """Return (small, large) with small * large = size: ``factor`` itself if it divides, else the nearest below.

    A factor of -1 asks for the pair nearest the square root.
    """
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    most = size if factor < 0 else factor
    small = max(k for k in range(1, int(size**0.5) + 1) if size % k == 0 and k <= most)
    return small, size // small


@dataclass(frozen=True)
class Kronecker(Dense):
    """kron(C, B A) or kron(C, E)."""

    name: ClassVar[str] = "kronecker"
    rate: ClassVar[float] = 3.0
    needs: ClassVar[frozenset[str]] = frozenset()
    factor: int = -1

    def __post_init__(self) -> None:
        whole = isinstance(self.factor, int) and not isinstance(self.factor, bool)
        if not whole or (self.factor < 1 and self.factor != -1):
            raise UsageError(
                f"factor of 'kronecker' must be -1 or a whole number of at least 1, found {self.factor!r}."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """C, and A and B or E."""
        (m1, m2), (n1, n2) = divisors(d_out, self.factor), divisors(d_in, self.factor)
        if 2 * rank < max(m2, n2):
            return {"C": (m1, n1), "A": (rank, n2), "B": (m2, rank)}
        return {"C": (m1, n1), "E": (m2, n2)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw all but C."""
        shapes = self.shapes(*host.size, rank)
        found = {name: host.uniform(generator, shape[1] ** -0.5, *shape) for name, shape in shapes.items()}
        return {**found, "C": torch.zeros_like(found["C"])}

    def described_shapes(self) -> dict[str, str]:
        """Return them with the divisors by name."""
        return {"C": "(m1, n1), m1 m2 = d_out, n1 n2 = d_in", "A": "(r, n2)", "B": "(m2, r); or E: (m2, n2)"}

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense product."""
        E = factors["B"] @ factors["A"] if "A" in factors else factors["E"]
        return torch.kron(factors["C"], E.contiguous())

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """kron(C, B A) as a product through rank * min(m1, n1) numbers; None where that is more than min(m, n)."""
        if "A" not in factors:
            return None
        C, A, B = (factors[name] for name in "CAB")
        m1, n1 = C.shape
        if len(A) * min(m1, n1) > min(host.size):
            return None
        one = torch.eye(min(m1, n1), dtype=C.dtype, device=C.device)
        if m1 < n1:
            return torch.kron(C, A), host.scaling * torch.kron(one, B)
        return torch.kron(one, A), host.scaling * torch.kron(C, B)

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) kron(C, B A)``."""
        return f"{scale} kron(C, B A)"
