"""The contract of a host kind: one class of layers, seen always as a (d_out, d_in) matrix that maps rows to rows.

A parametrization never asks what layer it sits on. The host kind turns the layer's input into rows (..., d_in), hands
back the update in the layer's own layout, and says how W0 is stored.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from rankwise.adapters.parametrizations.stacks import Stack


class HostKind(abc.ABC):
    """One class of layers. Stateless; the layer is always an argument."""

    name: ClassVar[str]
    linear: ClassVar[bool] = False
    """A dense linear module, as placement 'all-linear' means it."""

    lookup: ClassVar[bool] = False
    """Its input is token ids, which stand for one-hot rows."""

    vector: ClassVar[bool] = False
    """It has no matrix, only vectors: what sits on it may touch the bias alone."""

    stacked: ClassVar[bool] = False
    """It holds stacks of matrices, one for each expert, and no matrix of its own."""

    rows: ClassVar[bool] = True
    """Input and output are rows already, (..., d_in) and (..., d_out)."""

    @abc.abstractmethod
    def fits(self, module: nn.Module) -> bool:
        """Return whether ``module`` is such a layer."""

    def kept(self, module: nn.Module) -> nn.Parameter:
        """Return the parameter that W0 is, as the layer stores it."""
        return cast(nn.Parameter, module._parameters["weight"])

    def weight(self, module: nn.Module) -> Tensor:
        """Return W0 as (d_out, d_in), detached: a view where it can be one, never to be written."""
        return self.matrix(cast(Tensor, module.weight)).detach()

    def matrix(self, stored: Tensor) -> Tensor:
        """Turn the layer's tensor into (d_out, d_in)."""
        return stored

    def stored(self, module: nn.Module, W: Tensor) -> Tensor:
        """Turn a (d_out, d_in) matrix into the layout in which ``module`` stores it."""
        return W

    def shape(self, module: nn.Module) -> tuple[int, int]:
        """Return (d_out, d_in)."""
        d_out, d_in = self.weight(module).shape
        return d_out, d_in

    def stacks(self, module: nn.Module) -> tuple[Stack, ...]:
        """Return the stacks that it holds, if it is such a module."""
        return ()

    def active(self, module: nn.Module) -> int:
        """Return how many of its experts serve one token."""
        return 1

    def bias(self, module: nn.Module) -> Tensor | None:
        """Return the layer's bias (d_out,), if it has one."""
        return cast("Tensor | None", getattr(module, "bias", None))

    def enter(self, module: Any, x: Tensor) -> Tensor:
        """Turn the layer's input into rows (..., d_in)."""
        return x

    def leave(self, module: Any, update: Tensor, x: Tensor) -> Tensor:
        """Turn rows (..., d_out) into the layout of the layer's output for input ``x``."""
        return update

    def normalized(self, module: Any, x: Tensor) -> Tensor:
        """Return what a normalization multiplies its weight with.

        A slot asks only kinds whose ``vector`` is true, which override this.
        """
        raise NotImplementedError(f"a {self.name} normalizes nothing (vector is False), and is not asked to")

    def back(self, module: Any, y: Tensor) -> Tensor:
        """Turn the layer's output into rows (..., d_out): the inverse of :meth:`leave`."""
        return y
