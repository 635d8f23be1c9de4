"""The contract of an init."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.axis import Choice
from rankwise.errors import UsageError

Start = dict[str, Tensor]
"""Starting values by factor name, in the working dtype (float32, or float64 for a float64 base)."""


@dataclass(frozen=True)
class Init(Choice, abc.ABC):
    """Gives the factors' starting values for one layer."""

    edits_base: ClassVar[bool] = False
    """The paper subtracts ``s * B0 @ A0`` from ``W0``. We never write ``W0``: the start is kept as a frozen
    offset and the update is ``s * (B A - B0 A0)`` in the form that does not cancel (DESIGN 3, rule 1)."""

    rank_bounded: ClassVar[bool] = False
    """The method needs ``rank <= min(d_in, d_out)``."""

    @abc.abstractmethod
    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Return ``{"A": (rank, d_in), "B": (d_out, rank)}`` for ``W0`` of shape ``(d_out, d_in)``.

        ``W0`` is in the working dtype and must not be written. All randomness comes from ``generator``.
        """

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a rank this init cannot serve on this layer.

        Raises:
            UsageError: naming the module, its shape, the rank found and the largest that works.
        """
        if self.rank_bounded and rank > min(d_in, d_out):
            raise UsageError(
                f"init {self.name!r} needs rank <= min(d_in, d_out), but rank is {rank} and {module} is "
                f"{d_out} x {d_in}; use rank <= {min(d_in, d_out)}, another placement, or init 'kaiming'."
            )
