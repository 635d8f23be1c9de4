"""The contract of an init.

An init that needs W0 only gives :meth:`Init.start`. One that needs data derives from :class:`DataInit`; one that
chooses W0's stored form together with the factors derives from :class:`QuantizedInit`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.axis import Choice
from rankwise.adapters.calibration import Statistics
from rankwise.errors import UsageError

Start = dict[str, Tensor]
"""Starting values by factor name, in the working dtype (float32, or float64 for a float64 base)."""


@dataclass(frozen=True)
class Init(Choice, abc.ABC):
    """Gives the factors' starting values for one layer. Traits are class variables; ``..compatibility`` reads them."""

    gives: ClassVar[frozenset[str]] = frozenset({"A", "B"})
    """The factors it gives."""

    zero: ClassVar[Literal["A", "B", "product", ""]] = "B"
    """What is zero at the start: a factor, only the product B A, or nothing."""

    edits_base: ClassVar[bool] = False
    """The paper subtracts ``s * B0 @ A0`` from ``W0``. We never write ``W0``: the start is kept as a frozen
    offset and the update is ``s * (B A - B0 A0)`` in the form that does not cancel
    (docs/design/methods.md#the-frozen-start)."""

    rank_bounded: ClassVar[bool] = False
    """The method needs ``rank <= min(d_in, d_out)``."""

    needs_data: ClassVar[Literal["", "inputs", "gradients"]] = ""
    """What it reads off ``attach(..., data=batches)``: the layers' inputs, or the gradients of their weights."""

    quantized: ClassVar[bool] = False
    """It starts from what a quantized storage makes of W0."""

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


@dataclass(frozen=True)
class DataInit(Init, abc.ABC):
    """An init that looks at data: ``attach(model, adapter, data=batches)`` collects what it needs, layer by layer."""

    needs_data: ClassVar[Literal["", "inputs", "gradients"]] = "inputs"

    normalizes: ClassVar[bool] = False
    """The inputs of a layer are divided by their largest magnitude in each batch before they are summed up."""

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Refuse: there is no start without data.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"init {self.name!r} needs data; pass attach(..., data=batches).")

    @abc.abstractmethod
    def start_from(self, found: Statistics, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Return the start of one layer, given what its data said."""

    def ranks(self, found: Mapping[str, Statistics], rank: int) -> dict[str, int]:
        """Return the rank of every layer, by dotted name; a layer of rank 0 is left alone."""
        return dict.fromkeys(found, rank)


@dataclass(frozen=True)
class QuantizedInit(Init, abc.ABC):
    """An init that chooses the stored base and the factors together."""

    quantized: ClassVar[bool] = True
    zero: ClassVar[Literal["A", "B", "product", ""]] = ""

    def start(self, W0: Tensor, rank: int, scaling: float, generator: torch.Generator) -> Start:
        """Refuse: there is no start without a storage.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"init {self.name!r} needs a quantized storage, such as 'nf4'.")

    @abc.abstractmethod
    def start_beside(
        self, round_trip: Callable[[Tensor], Tensor], W0: Tensor, rank: int, scaling: float
    ) -> tuple[Start, Tensor]:
        """Return the start and the matrix (d_out, d_in) that is to be stored in W0's place.

        Args:
            round_trip: quantizes a (d_out, d_in) matrix and reads it back.
        """
