"""``torch.nn.Embedding`` (vocabulary, width): the transposed matrix of a layer whose input is a one-hot row.

So W0 is (d_out, d_in) = (width, vocabulary), and an update of E is ``s (B A)^T``. A product with a one-hot
row is a lookup; :func:`rankwise.adapters.parametrizations.project` does it. Gemma's table multiplies the rows it
returns by ``embed_scale``, and so the rows of an update.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from rankwise.adapters.hosts.base import HostKind


class Embedding(HostKind):
    """A table of vectors; one that changes what it looks up in a way we do not know (a maximal norm) is not adapted."""

    name: ClassVar[str] = "Embedding"
    lookup: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Accept tables that return the rows as they are stored, or times ``embed_scale``."""
        return (
            isinstance(module, nn.Embedding)
            and module.max_norm is None
            and (hasattr(module, "embed_scale") or _forward_of(type(module)) is nn.Embedding.forward)
        )

    def matrix(self, stored: Tensor) -> Tensor:
        """Transpose."""
        return stored.T

    def stored(self, module: nn.Module, W: Tensor) -> Tensor:
        """Transpose."""
        return W.T.contiguous()

    def leave(self, module: Any, update: Tensor, x: Tensor) -> Tensor:
        """Scale the rows as the table does."""
        return update * getattr(module, "embed_scale", 1.0)


def _forward_of(cls: type) -> object:
    """Return the forward of the layer's own class, looking behind our mixin."""
    return next(
        c.__dict__["forward"] for c in cls.__mro__ if "forward" in c.__dict__ and not c.__dict__.get("_rankwise_mixin")
    )
