"""The adapted layer: the original module with its class swapped for a subclass that adds the updates.

The module object, its parameters and their names stay what they were: ``isinstance(layer, nn.Linear)`` holds,
``state_dict`` keys of the base do not move, and detaching swaps the class back. Adapters of one layer live in
``layer.adapters`` (a ModuleDict of :class:`~rankwise.adapters.slot.Slot`).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rankwise.adapters import orientation
from rankwise.adapters.fused import Segment, segmented
from rankwise.adapters.quantized_weight import StoredWeight
from rankwise.adapters.slot import Slot
from rankwise.errors import UsageError


@dataclass(frozen=True)
class Routes:
    """Which rows of a batch each adapter of one layer serves, while a batch is mixed.

    Attributes:
        rows: examples in the batch.
        members: row indices by adapter name.
    """

    rows: int
    members: dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """The very tensors that a merge replaced; the weight is None when it is stored in codes."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None


class AdaptedLayer(nn.Module):
    """Mixin in front of the layer's own class; see :func:`adapt`."""

    _rankwise_mixin = True

    adapters: nn.ModuleDict
    enabled: list[str]
    merged: list[tuple[str, Kept]]
    routes: Routes | None
    segments: tuple[Segment, ...] | None  # set by the engine for the length of a pass; see fused.py
    unfused: RemovableHandle
    stored: StoredWeight | None

    @property
    def weight(self) -> Tensor:
        """The layer's own parameter, or what its codes stand for."""
        own = self._parameters["weight"]
        if own is not None:
            return own
        assert self.stored is not None  # a layer without a parameter has codes
        return self.stored.weight

    @property
    def origin(self) -> object:
        """The identity of the weight that the layer computes with now."""
        own = self._parameters["weight"]
        return own if own is not None or self.stored is None else self.stored.codes

    def forward(self, x: Tensor) -> Tensor:
        """Return the base output plus every enabled, unmerged update."""
        if self.segments is not None:
            return segmented(self, x, self.segments)
        base = y = self.untouched(x)
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
        with nullcontext() if self.stored is None else self.stored.reading():
            return cast(Tensor, super().forward(x))

    def update(self, slot: Slot, x: Tensor, base: Tensor) -> Tensor:
        """Return what ``slot`` adds to ``base``, the layer's own output for ``x``."""
        update = cast(Tensor, slot(x, base if slot.sits_on(self) else None))
        return update if x.is_floating_point() else update.to(base.dtype)  # ids do not say what dtype is computed in

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
        """Put ``name``'s update into weight and bias: one rounding, in new parameters; the base's are untouched."""
        slot, base = cast(Slot, self.adapters[name]), self.weight
        delta, more = slot.delta(), slot.delta_bias()
        wide = torch.promote_types(base.dtype, delta.dtype)
        W = (orientation.weight(self).to(wide) + delta.to(wide)).to(base.dtype)
        kept = Kept(self._parameters["weight"], self._parameters.get("bias"))
        if more is not None:
            old = torch.zeros_like(more) if kept.bias is None else kept.bias.detach().to(more.dtype)
            self.register_parameter("bias", nn.Parameter((old + more).to(base.dtype), requires_grad=False))
        self.register_parameter("weight", nn.Parameter(orientation.stored(self, W), requires_grad=False))
        self.merged.append((name, kept))

    def check_unmerge(self, name: str) -> None:
        """Raise unless ``name`` was the last to be merged here."""
        last, _ = self.merged[-1]
        if last != name:
            raise UsageError(f"adapter {name!r} was merged before {last!r}; unmerge {last!r} first.")

    def unmerge(self, name: str) -> None:
        """Put back the very tensor that was there before :meth:`merge`."""
        self.check_unmerge(name)
        _, kept = self.merged.pop()
        self.register_parameter("weight", kept.weight)
        if "bias" in self._parameters:
            self.register_parameter("bias", kept.bias)


def freeze_base(model: nn.Module) -> None:
    """Freeze what is not an adapter's, and remember it on the model until the last adapter leaves."""
    factors = {id(p) for m in model.modules() if isinstance(m, Slot) for p in m.parameters()}
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in factors]
    for parameter in frozen:
        parameter.requires_grad_(False)
    model.__dict__.setdefault("_rankwise_frozen", []).extend(frozen)


def unfreeze_base(model: nn.Module) -> None:
    """Let train again what :func:`freeze_base` froze."""
    for parameter in model.__dict__.pop("_rankwise_frozen", []):
        parameter.requires_grad_(True)
