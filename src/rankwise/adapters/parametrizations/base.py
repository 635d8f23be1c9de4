"""The contract of a parametrization.

``factors`` are the trainable tensors of one layer by name; ``start`` holds their frozen starting values
when the init is one that the papers write as an edit of ``W0`` (empty otherwise).

Most updates are ``s * delta(factors)`` and need :meth:`Parametrization.apply` and :meth:`Parametrization.delta`
only. One in which W0 or s takes another part overrides ``update`` and ``dense`` (with ``complete``
and ``weight_formula``), which get a :class:`Host`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.axis import Choice

Factors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Host:
    """The frozen layer an adapter was attached to, as far as a parametrization may read it, and the scale.

    Attributes:
        scaling: s.
        W0: (d_out, d_in), detached, in the base's dtype; never to be written.
        x, y, bias: the input of this pass and the layer's output for it, when that is at hand, and its bias.
    """

    scaling: float
    W0: Tensor
    x: Tensor | None = None
    y: Tensor | None = None
    bias: Tensor | None = None

    def product(self, x: Tensor) -> Tensor:
        """Return ``W0 x`` without bias, from the layer's own output when ``x`` is the very input of the pass."""
        if x is self.x and self.y is not None:
            return self.y if self.bias is None else self.y - self.bias
        return linear(x, self.W0.to(x.dtype))


@dataclass(frozen=True)
class Parametrization(Choice, abc.ABC):
    """How factors become an update."""

    kind: ClassVar[Literal["delta", "activation", "prompt", "overlay", "routed"]]

    @abc.abstractmethod
    def shapes(self, d_out: int, d_in: int, rank: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every trainable tensor of a (d_out, d_in) layer, by name."""

    @abc.abstractmethod
    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the unscaled update applied to ``x`` (..., d_in) as (..., d_out), in the dtype of ``x``."""

    @abc.abstractmethod
    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Return the unscaled dense update (d_out, d_in), float32 or wider."""

    @abc.abstractmethod
    def formula(self, scale: str, edits_base: bool) -> str:
        """Return ``s * delta`` as text, with ``scale`` put in."""

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """Return (A (k, d_in), B (d_out, k)) with ``B A`` exactly the scaled update, or None when there are none.

        Exporting takes these where they are given, and the SVD of :meth:`dense` (with its error) where not.
        """
        return None

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return f"W0 + {self.formula(scale, edits_base)}"

    def complete(self, factors: Factors, start: Factors, host: Host) -> dict[str, Tensor]:
        """Return starting values of the trainable tensors that an init does not give, by name."""
        return {}

    def update(
        self, x: Tensor, factors: Factors, start: Factors, drop: Callable[[Tensor], Tensor], host: Host
    ) -> Tensor:
        """Return what the adapter adds to the layer's output for ``x``, scaled."""
        update = self.apply(x, factors, start, drop)
        return update if host.scaling == 1 else host.scaling * update

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return the scaled dense update (d_out, d_in), float32 or wider: the oracle for everything else."""
        return host.scaling * self.delta(factors, start)
