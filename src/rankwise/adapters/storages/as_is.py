"""W0 stays as it is: no copy, no codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rankwise.adapters.storages.base import Codes, Storage
from rankwise.errors import UsageError


@dataclass(frozen=True)
class AsIs(Storage):
    """The usual case."""

    name: ClassVar[str] = "as-is"
    quantizes: ClassVar[bool] = False

    def encode(self, weight: Tensor) -> Codes:
        """Refuse: there is nothing to encode."""
        raise UsageError("storage 'as-is' has no codes; use a storage that quantizes, such as 'nf4'.")

    def revive(self, tensors: dict[str, Tensor], like: Tensor) -> Codes:
        """Refuse: there is nothing to read."""
        raise UsageError("storage 'as-is' has no codes; use a storage that quantizes, such as 'nf4'.")
