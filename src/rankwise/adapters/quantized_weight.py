"""A layer's weight kept in codes while an adapter is on it, and read only while it is used.

The layer's own tensor is set aside untouched and comes back with the last adapter's leaving, so the base is what it
was. (To have no unquantized copy at all, load the model in four bits with transformers' ``BitsAndBytesConfig``.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rankwise.adapters.storages import Codes, Storage


class StoredWeight(nn.Module):
    """The codes of one layer's weight, held by the layer instead of the weight itself.

    Args:
        original: the parameter to put back at the end.
    """

    def __init__(self, storage: Storage, codes: Codes, original: nn.Parameter) -> None:
        super().__init__()
        self.storage, self.codes = storage, codes
        self._original = (original,)  # in a tuple: not a parameter of ours
        self._read: Tensor | None = None

    @property
    def original(self) -> nn.Parameter:
        """The layer's own parameter."""
        return self._original[0]

    @property
    def weight(self) -> Tensor:
        """What the codes stand for; within :meth:`reading`, one and the same tensor."""
        return self.codes.read() if self._read is None else self._read

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read the codes once for the layer's forward, and again for its backward: in between only codes are kept."""
        W = self._read = self.codes.read()
        place, codes = W.untyped_storage().data_ptr(), self.codes

        def pack(saved: Tensor) -> Any:
            if saved.untyped_storage().data_ptr() != place:
                return saved
            return (saved.size(), saved.stride(), saved.storage_offset())

        def unpack(kept: Any) -> Tensor:
            return kept if isinstance(kept, Tensor) else torch.as_strided(codes.read(), *kept)

        try:
            with saved_tensors_hooks(pack, unpack):
                yield
        finally:
            self._read = None
