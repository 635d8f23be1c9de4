"""The adapted layer: the original module with its class swapped for a subclass that adds the updates.

The module object, its parameters and their names stay what they were: ``isinstance(layer, nn.Linear)`` holds,
``state_dict`` keys of the base do not move, and detaching swaps the class back. Adapters of one layer live in
``layer.adapters`` (a ModuleDict of :class:`Slot`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rankwise.adapters import orientation
from rankwise.adapters.fused import Segment, segmented
from rankwise.adapters.parametrizations import Host, Parametrization
from rankwise.errors import UsageError


class Slot(nn.Module):
    """One adapter in one layer: trainable factors, an optional frozen start, a scale.

    Args:
        layer: the layer it sits on; its weight of this moment is W0, whatever is merged there later.
        factors: the init's starting values by name; they become parameters, float32 or wider.
        edits_base: keep a frozen copy of the start, subtracted from the update (DESIGN 3, rule 1).
        start: that copy when ``factors`` are not the start any more, but all of a saved adapter's.
        generator: source of the dropout masks, shared by all layers of one adapter.
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
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.parametrization = parametrization
        self.scaling = scaling
        self.dropout = dropout
        self.generator = generator
        self.edits_base = edits_base
        # In a tuple, so that the base's tensors do not become parameters of ours too.
        self._base = (cast(nn.Parameter, layer.weight), cast("nn.Parameter | None", getattr(layer, "bias", None)))
        self._transposed = orientation.is_transposed(layer)
        for name, value in factors.items():
            # Contiguous, as a loaded factor is: strides choose the matrix kernel, and so the last bits.
            value = value.clone(memory_format=torch.contiguous_format)
            self.register_parameter(name, nn.Parameter(value))
            if edits_base and start is None:
                self.register_buffer(f"{name}_start", value.clone())
        if start is not None:
            for name, value in start.items():
                self.register_buffer(f"{name}_start", value.clone(memory_format=torch.contiguous_format))
            return
        for name, value in parametrization.complete(self.factors, self.start, self._host()).items():
            self.register_parameter(name, nn.Parameter(value.contiguous()))

    @property
    def factors(self) -> dict[str, nn.Parameter]:
        """Trainable tensors by name."""
        return cast("dict[str, nn.Parameter]", self._parameters)

    @property
    def start(self) -> dict[str, Tensor]:
        """Frozen starting values by factor name; empty when the init does not edit the base."""
        return {name.removesuffix("_start"): cast(Tensor, value) for name, value in self._buffers.items()}

    def sits_on(self, weight: Tensor) -> bool:
        """Return whether ``weight`` is W0 itself: nothing was merged into the layer since this adapter came."""
        return weight is self._base[0]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the scaled update of ``x`` (..., d_in) as (..., d_out); ``y`` is W0's output for ``x``, if known."""
        return self.parametrization.update(x, self.factors, self.start, self._drop, self._host(x, y))

    @property
    def rank(self) -> int:
        """Rank of the factors, which a saved adapter may choose for each module."""
        return next((f.shape[0] for name, f in self.factors.items() if name == "A"), 0)

    def delta(self, W0: Tensor | None = None) -> Tensor:
        """Return the scaled dense update (d_out, d_in), float32 or wider, detached; ``W0`` for a layer not loaded."""
        with torch.no_grad():
            return self.parametrization.dense(self.factors, self.start, self._host(W0=W0))

    def plain(self, W0: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return (A, B) with ``B A`` exactly the scaled update, detached, or None; see the parametrization."""
        with torch.no_grad():
            found = self.parametrization.plain(self.factors, self.start, self._host(W0=W0))
        return None if found is None else (found[0].detach(), found[1].detach())

    def _host(self, x: Tensor | None = None, y: Tensor | None = None, W0: Tensor | None = None) -> Host:
        weight, bias = self._base[0].detach(), self._base[1]
        if W0 is None:
            W0 = weight.T if self._transposed else weight
        return Host(self.scaling, W0, x, y, bias)

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


@dataclass(frozen=True)
class Routes:
    """Which rows of a batch each adapter of one layer serves, while a batch is mixed.

    Attributes:
        rows: examples in the batch.
        members: row indices by adapter name.
    """

    rows: int
    members: dict[str, Tensor]


class AdaptedLayer(nn.Module):
    """Mixin in front of the layer's own class; see :func:`adapt`."""

    adapters: nn.ModuleDict
    enabled: list[str]
    merged: list[tuple[str, nn.Parameter]]
    routes: Routes | None
    segments: tuple[Segment, ...] | None  # set by the engine for the length of a pass; see fused.py
    unfused: RemovableHandle
    weight: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:
        """Return the base output plus every enabled, unmerged update."""
        if self.segments is not None:
            return segmented(self, x, self.segments)
        base = y = cast(Tensor, super().forward(x))
        if self.routes is not None:
            return self._routed(self.routes, x, base)
        merged = {name for name, _ in self.merged}
        for name in self.enabled:
            if name not in merged:
                slot = cast(Slot, self.adapters[name])
                y = y + self.update(slot, x, base)
        return y

    def untouched(self, x: Tensor) -> Tensor:
        """Return the output of the layer's own class."""
        return cast(Tensor, super().forward(x))

    def update(self, slot: Slot, x: Tensor, base: Tensor) -> Tensor:
        """Return what ``slot`` adds to ``base``, the layer's own output for ``x``."""
        if x.is_floating_point():
            return cast(Tensor, slot(x, base if slot.sits_on(self.weight) else None))
        # An embedding: x holds ids, so the compute dtype is the output's; Gemma's multiplies its rows by embed_scale.
        scale = getattr(self, "embed_scale", 1.0)
        return cast(Tensor, slot(x) * scale).to(base.dtype)

    def _routed(self, routes: Routes, x: Tensor, base: Tensor) -> Tensor:
        """Return the base output, and for each adapter its update of its own rows; see ``several.mixed``."""
        if x.shape[0] != routes.rows:
            raise UsageError(
                f"mixed() was given {routes.rows} rows, but a layer got an input of shape {tuple(x.shape)}: its first "
                "dimension must be the batch. Give one entry per example, and no beam search."
            )
        y = base
        for name, members in routes.members.items():
            rows, slot = members.to(x.device), cast(Slot, self.adapters[name])
            update = self.update(slot, x[rows], base[rows])
            y = y.index_add(0, rows, update.to(y.dtype))
        return y

    def merge(self, name: str) -> None:
        """Put ``name``'s update into the weight: one rounding, in a new parameter; the base tensor is untouched."""
        base = self.weight
        delta = cast(Slot, self.adapters[name]).delta()
        wide = torch.promote_types(base.dtype, delta.dtype)
        W = (orientation.weight(self).to(wide) + delta.to(wide)).to(base.dtype)
        self.merged.append((name, base))
        self.weight = nn.Parameter(orientation.stored(self, W), requires_grad=False)

    def check_unmerge(self, name: str) -> None:
        """Raise unless ``name`` was the last to be merged here."""
        last, _ = self.merged[-1]
        if last != name:
            raise UsageError(f"adapter {name!r} was merged before {last!r}; unmerge {last!r} first.")

    def unmerge(self, name: str) -> None:
        """Put back the very tensor that was there before :meth:`merge`."""
        self.check_unmerge(name)
        _, self.weight = self.merged.pop()


_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _adapted_class(original: type[nn.Module]) -> type[nn.Module]:
    if original not in _classes:
        body = {"__module__": __name__}
        _classes[original] = type(f"Adapted{original.__name__}", (AdaptedLayer, original), body)
    return _classes[original]


def _no_hook(module: nn.Module, inputs: object) -> None:
    """Do nothing; see :func:`adapt`."""


def adapt(module: nn.Module) -> AdaptedLayer:
    """Turn ``module`` into an adapted layer in place (its class changes, its tensors do not)."""
    if not isinstance(module, AdaptedLayer):
        module.__class__ = _adapted_class(type(module))
        layer = cast(AdaptedLayer, module)
        layer.adapters = nn.ModuleDict()
        layer.enabled, layer.merged, layer.routes, layer.segments = [], [], None, None
        # In eval, torch's TransformerEncoderLayer reads our weight without calling us, unless it finds a hook.
        layer.unfused = layer.register_forward_pre_hook(_no_hook)
    return cast(AdaptedLayer, module)


def restore(layer: AdaptedLayer) -> nn.Module:
    """Turn an adapted layer without adapters back into what it was."""
    layer.unfused.remove()
    for attribute in ("adapters", "enabled", "merged", "routes", "segments", "unfused"):
        delattr(layer, attribute)
    original: Any = type(layer).__mro__[2]  # (Adapted<Original>, AdaptedLayer, <Original>, ...)
    layer.__class__ = original
    return layer
