"""QPiSSA: PiSSA on a quantized base, Meng et al., 2024, arXiv 2404.02948, section 4 and the authors' code.

From R_0 = W0, ``steps`` times: s B A = [R_{t-1}]_r, Q_t = what the storage makes of W0 - s B A, R_t = W0 - Q_t. The
principal part is in the factors in full precision and only the residual is quantized. With one step the factors are
PiSSA's. Nothing is subtracted: unlike PiSSA on an unquantized base, the start is W0 but for the residual's rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rankwise.adapters.inits.base import QuantizedInit, Start
from rankwise.adapters.inits.loftq import best, check_steps


@dataclass(frozen=True)
class QPiSSA(QuantizedInit):
    """The principal part in the factors, the residual in codes; ``steps`` alternations."""

    name: ClassVar[str] = "qpissa"
    rank_bounded: ClassVar[bool] = True
    steps: int = 5

    def __post_init__(self) -> None:
        check_steps(self.name, self.steps)

    def start_beside(
        self, round_trip: Callable[[Tensor], Tensor], W0: Tensor, rank: int, scaling: float
    ) -> tuple[Start, Tensor]:
        """Return the factors and the residual whose codes are the base."""
        rest = W0
        for _ in range(self.steps):
            start, low = best(rest, rank, scaling)
            base = W0 - low
            rest = W0 - round_trip(base)
        return start, base
