"""One adapter in one layer: its tensors, the dropout in front of them, its update of the layer's output.

A slot holds its layer only to read it. Which slots of a layer act, and on what, is the layer's
(:mod:`rankwise.adapters.layers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.parametrizations import Factors, Host, Parametrization
from rankwise.adapters.storages import Codes
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.layers import AdaptedLayer

Lens = Callable[[Factors, float], tuple[Factors, float]]
"""What a pass sees in place of a layer's tensors and its scale: views or functions of them, with their gradients."""


class Shared(nn.Module):
    """Tensors that all layers of one adapter have in common. The first layer's slot owns it."""

    def __init__(self, tensors: Mapping[str, Tensor], trains: frozenset[str]) -> None:
        super().__init__()
        for name, value in tensors.items():
            value = value.clone(memory_format=torch.contiguous_format)
            if name in trains:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of them by name."""
        return cast("dict[str, Tensor]", {**self._parameters, **self._buffers})


class Slot(nn.Module):
    """One adapter in one layer: factors, an optional frozen start, a scale.

    Args:
        layer: the layer it sits on; its weight of this moment is W0, whatever is merged there later.
        origin: what W0 is kept in, when that is not the layer's own parameter.
        factors: the init's starting values by name; they become parameters, float32 or wider, or frozen buffers.
        edits_base: keep a frozen copy of the start, subtracted from the update
            (docs/design/methods.md#the-frozen-start).
        generator: source of the dropout masks, shared by all layers of one adapter.
        rank: of this layer's factors.
        trains: names of the factors that train; all of the parametrization's by default.
        stream: source of whatever the parametrization draws itself.
        shared: tensors of the whole adapter; ``owner`` is the one slot that they are registered in.
        start: the frozen copy when ``factors`` are not the start any more, but all of a saved adapter's.

    Attributes:
        lens: what passes see instead of the tensors, for as long as an event wants it; ``delta`` and saving do not.
    """

    def __init__(
        self,
        parametrization: Parametrization,
        layer: nn.Module,
        factors: Mapping[str, Tensor],
        *,
        scaling: float,
        dropout: float,
        edits_base: bool,
        generator: torch.Generator,
        rank: int,
        trains: frozenset[str] | None = None,
        stream: torch.Generator | None = None,
        origin: Codes | None = None,
        shared: Shared | None = None,
        owner: bool = False,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.parametrization = parametrization
        self.lens: Lens | None = None
        self.scaling = scaling
        self.dropout = dropout
        self.generator = generator
        self.edits_base = edits_base
        self.rank = rank
        self.kind = orientation.host(layer)
        # In tuples, so that the base's tensors and modules do not become ours too.
        weight = origin if origin is not None else self.kind.kept(layer)
        self._base = (weight, self.kind.bias(layer))
        self._layer = (layer,)
        self._shared = (shared,)
        self._size = self.kind.shape(layer)
        self.virtual = False  # set while virtual tokens stand in front of the input; see virtual_tokens.py
        if owner:
            self.shared = shared
        self._frozen: set[str] = set()
        for name, value in factors.items():
            self._add(name, value, trains)
        if edits_base or start is not None:
            for name, value in (factors if start is None else start).items():
                self.register_buffer(f"{name}_start", _copy(value))
        if start is not None:
            return
        stream = stream or torch.Generator()
        for name, value in parametrization.complete(self.factors, self.start, self._host(), rank, stream).items():
            self._add(name, value, trains)

    def _add(self, name: str, value: Tensor, trains: frozenset[str] | None) -> None:
        if trains is None or name in trains:
            self.register_parameter(name, nn.Parameter(_copy(value)))
        else:
            self.register_buffer(name, _copy(value))
            self._frozen.add(name)

    @property
    def factors(self) -> dict[str, Tensor]:
        """All tensors of this layer by name: trainable, frozen, and its view of the shared ones."""
        own = cast("dict[str, Tensor]", self._parameters)
        shared = self._shared[0]
        if shared is None and not self._frozen:
            return own
        frozen = {name: cast(Tensor, self._buffers[name]) for name in sorted(self._frozen)}
        common = {} if shared is None else self.parametrization.local(shared.tensors, *self._size)
        return {**common, **frozen, **own}

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """This layer's trainable tensors by name (shared ones are the adapter's)."""
        return cast("dict[str, nn.Parameter]", self._parameters)

    @property
    def own(self) -> dict[str, Tensor]:
        """Every tensor of this layer but the shared ones: trainable, frozen and starts."""
        return cast("dict[str, Tensor]", {**self._parameters, **self._buffers})

    @property
    def common(self) -> Shared | None:
        """The tensors of the whole adapter."""
        return self._shared[0]

    @property
    def start(self) -> dict[str, Tensor]:
        """Frozen starting values by factor name, and merged pairs; empty when there is none of either."""
        return {
            name.removesuffix("_start"): cast(Tensor, value)
            for name, value in self._buffers.items()
            if name not in self._frozen
        }

    def sits_on(self, layer: AdaptedLayer) -> bool:
        """Return whether the layer computes with W0 itself: nothing was merged there since this adapter came."""
        return layer.origin is self._base[0]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the scaled update of ``x`` (..., d_in) as (..., d_out); ``y`` is W0's output for ``x``, if known."""
        layer = self._layer[0]
        if self.parametrization.kind == "prompt" and not self.virtual:
            raise UsageError("virtual tokens are put in front by the model itself; call it, not a part of it.")
        factors, scaling = (self.factors, self.scaling) if self.lens is None else self.lens(self.factors, self.scaling)
        if self.kind.lookup:
            update = self.parametrization.update(x, factors, self.start, _keep, self._host(x, y, scaling=scaling))
            return self.kind.leave(layer, update, x)
        if self.kind.rows:
            return self.parametrization.update(x, factors, self.start, self._drop, self._host(x, y, scaling=scaling))
        rows = self.kind.enter(layer, x)
        host = self._host(rows, None if y is None else self.kind.back(layer, y), scaling=scaling)
        if self.training and self.dropout:  # dropped before the patches overlap
            rows = self.kind.enter(layer, self._drop(x))
        update = self.parametrization.update(rows, factors, self.start, _keep, host)
        return self.kind.leave(layer, update, x)

    @property
    def W0(self) -> Tensor:
        """(d_out, d_in), detached; dequantized on every reading when it is stored in codes."""
        kept = self._base[0]
        return self.kind.matrix(kept.read() if isinstance(kept, Codes) else kept).detach()

    def delta(self, W0: Tensor | None = None) -> Tensor:
        """Return the scaled dense update (d_out, d_in), float32 or wider, detached; ``W0`` for a layer not loaded."""
        with torch.no_grad():
            return self.parametrization.dense(self.factors, self.start, self._host(W0=W0))

    def delta_bias(self, bias: Tensor | None = None) -> Tensor | None:
        """Return the dense update of the bias (d_out,), None when it keeps its value; ``bias`` as for :meth:`delta`."""
        with torch.no_grad():
            return self.parametrization.dense_bias(self.factors, self.start, self._host(bias=bias))

    def plain(self, W0: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return (A, B) with ``B A`` exactly the scaled update, detached, or None; see the parametrization."""
        with torch.no_grad():
            found = self.parametrization.plain(self.factors, self.start, self._host(W0=W0))
        return None if found is None else (found[0].detach(), found[1].detach())

    def _host(
        self,
        x: Tensor | None = None,
        y: Tensor | None = None,
        W0: Tensor | None = None,
        bias: Tensor | None = None,
        *,
        scaling: float | None = None,
    ) -> Host:
        own = self._base[1] if bias is None else bias
        scale = self.scaling if scaling is None else scaling
        kind, layer = self.kind, self._layer[0]
        normalize = (lambda rows: kind.normalized(layer, rows)) if kind.vector else None
        return Host(scale, lambda: self.W0 if W0 is None else W0, x, y, own, normalize)

    def _drop(self, x: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return x
        if torch._C._current_graph_task_id() != -1:  # gradient checkpointing runs this forward again in backward
            raise UsageError(
                f"dropout {self.dropout:g} with gradient checkpointing would draw other masks in the backward pass and "
                "give wrong gradients; use dropout 0 or switch gradient checkpointing off."
            )
        # Drawn from the adapter's own stream: a neighbour's dropout must not move ours.
        keep = torch.rand(x.shape, generator=self.generator, device=self.generator.device) >= self.dropout
        return x * keep.to(device=x.device, dtype=x.dtype) / (1 - self.dropout)


def _copy(value: Tensor) -> Tensor:
    # Contiguous, as a loaded factor is: strides choose the matrix kernel, and so the last bits.
    return value.clone(memory_format=torch.contiguous_format)


def _keep(x: Tensor) -> Tensor:
    """Drop nothing."""
    return x
