"""The contract of a storage: the form in which a layer's frozen weight is kept while an adapter is on it."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rankwise.adapters.axis import Choice


class Codes(nn.Module, abc.ABC):
    """One stored weight. Its buffers are what takes memory; adapters with one such object share one W0."""

    @abc.abstractmethod
    def read(self) -> Tensor:
        """Return the weight it stands for, in the layer's own layout and dtype: a new tensor each time."""

    @abc.abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return everything that :meth:`Storage.revive` needs, for saving."""

    def bytes(self) -> int:
        """Return the bytes of its tensors."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())


@dataclass(frozen=True)
class Storage(Choice, abc.ABC):
    """How W0 is kept."""

    quantizes: ClassVar[bool] = True
    """W0 is replaced by codes, so what is read differs from what was there."""

    def check(self) -> None:
        """Refuse when a library it needs is missing.

        Raises:
            UsageError: naming the extra to install.
        """

    @abc.abstractmethod
    def encode(self, weight: Tensor) -> Codes:
        """Return the stored form of ``weight`` (the layer's own layout); ``weight`` is not written."""

    @abc.abstractmethod
    def revive(self, tensors: dict[str, Tensor], like: Tensor) -> Codes:
        """Return the stored form from saved tensors; ``like`` has the shape and dtype of the weight."""

    def round_trip(self, weight: Tensor) -> Tensor:
        """Return what is read back after storing ``weight``."""
        with torch.no_grad():
            return self.encode(weight).read()
