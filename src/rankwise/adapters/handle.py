"""One attached adapter, held: what it matched and trains, and switching it off, merging it, taking it away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.class_swap import restore
from rankwise.adapters.layers import AdaptedLayer, unfreeze_base
from rankwise.adapters.overlay import Overlay
from rankwise.adapters.slot import Slot
from rankwise.adapters.virtual_tokens import VirtualTokens
from rankwise.errors import UsageError, unknown


@dataclass(frozen=True)
class Match:
    """One adapted module."""

    module: str
    d_in: int
    d_out: int
    rank: int
    scaling: float
    trainable: int


class Matched(tuple[Match, ...]):
    """The table of what an adapter matched; ``print`` shows it aligned."""

    __slots__ = ()

    def __str__(self) -> str:
        width = max(len("module"), *(len(m.module) for m in self), 0)
        rows = [f"{'module':{width}}  {'in':>6} {'out':>6} {'rank':>5} {'scaling':>8} {'trainable':>10}"]
        rows += [
            f"{m.module:{width}}  {m.d_in:>6} {m.d_out:>6} {m.rank:>5} {m.scaling:>8.4g} {m.trainable:>10,}"
            for m in self
        ]
        return "\n".join(rows)


class Handle:
    """One attached adapter. Made by :func:`rankwise.adapters.attach`, not by hand."""

    def __init__(
        self,
        model: nn.Module,
        adapter: Adapter,
        name: str,
        seed: int,
        layers: dict[str, AdaptedLayer],
        overlay: Overlay | None = None,
    ) -> None:
        self.model, self.adapter, self.name, self.seed = model, adapter, name, seed
        self._layers = layers
        self.overlay = overlay
        self.file_dtypes: dict[str, torch.dtype] = {}  # of a loaded adapter, by name in the file
        self._virtual = VirtualTokens(model, layers, name) if adapter.parametrization.kind == "prompt" else None

    @property
    def layers(self) -> dict[str, AdaptedLayer]:
        """The adapted modules by dotted name."""
        return self._layers

    @property
    def slots(self) -> dict[str, Slot]:
        """The adapter's part in each module, by dotted module name."""
        return {path: cast(Slot, layer.adapters[self.name]) for path, layer in self._layers.items()}

    @property
    def matched(self) -> Matched:
        """Table of the adapted modules."""
        rows = []
        for path, slot in self.slots.items():
            d_out, d_in = orientation.shape(self._layers[path])
            count = sum(p.numel() for p in slot.parameters())  # shared ones where they are met first
            rows.append(Match(path, d_in, d_out, slot.rank, slot.scaling, count))
        return Matched(rows)

    @property
    def generator(self) -> torch.Generator:
        """The stream of dropout masks, to be saved with a checkpoint."""
        return next(iter(self.slots.values())).generator

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the trainable tensors as ``{"<module>.<factor>": Parameter}``, in the model's order.

        Tensors that all layers share are named ``*.<factor>``.
        """
        own = {f"{path}.{factor}": p for path, slot in self.slots.items() for factor, p in slot.trained.items()}
        return {**{f"*.{name}": p for name, p in self.shared.items() if isinstance(p, nn.Parameter)}, **own}

    @property
    def shared(self) -> dict[str, Tensor]:
        """Tensors that all layers of the adapter share, by name; frozen ones too."""
        for slot in self.slots.values():
            if (common := slot.common) is not None:
                return common.tensors
        return {}

    def delta(self, module: str) -> Tensor:
        """Return the scaled dense update (d_out, d_in) of ``module``, float32 or wider, detached."""
        if module not in self._layers:
            raise unknown("adapted module", module, self._layers)
        if reason := self.adapter.parametrization.not_merged:
            raise UsageError(f"adapter {self.name!r} has no dense update: {reason}.")
        return self.slots[module].delta()

    def merge(self) -> None:
        """Put the update into the weights (new tensors, one rounding each); see :meth:`unmerge`."""
        if self.merged:
            raise UsageError(f"adapter {self.name!r} is already merged.")
        if not self._layers:
            raise UsageError(f"adapter {self.name!r} was detached; attach or load it again before merging it.")
        if reason := self.adapter.parametrization.not_merged:
            raise UsageError(f"adapter {self.name!r} cannot be merged: {reason}.")
        self._outside_mixed("merging")
        for layer in self._layers.values():
            layer.merge(self.name)

    def unmerge(self) -> None:
        """Put back the tensors from before :meth:`merge`, bit for bit. Several adapters: last merged, first out."""
        if not self.merged:
            raise UsageError(f"adapter {self.name!r} is not merged.")
        for layer in self._layers.values():  # all or none: adapters may share some layers only
            layer.check_unmerge(self.name)
        for layer in self._layers.values():
            layer.unmerge(self.name)

    @property
    def merged(self) -> bool:
        """Whether the update is in the weights now."""
        return any(name == self.name for layer in self._layers.values() for name, _ in layer.merged)

    def disable(self) -> contextlib.AbstractContextManager[None]:
        """Switch the adapter off now; as ``with handle.disable():`` it is back on at the end of the block."""
        if self.merged:
            raise UsageError(f"adapter {self.name!r} is merged; unmerge it before disabling it.")
        for layer in self._layers.values():
            if self.name in layer.enabled:
                layer.enabled.remove(self.name)
        if self.overlay is not None:
            self.overlay.off()
        return self._enable_at_exit()

    @contextlib.contextmanager
    def _enable_at_exit(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.enable()

    def _outside_mixed(self, doing: str) -> None:
        if any(layer.routes is not None for layer in self._layers.values()):
            raise UsageError(f"leave the mixed() block before {doing} adapter {self.name!r}.")

    def enable(self) -> None:
        """Switch the adapter on."""
        for layer in self._layers.values():
            # In the order of attaching: sums must round as they did before disabling.
            layer.enabled = [n for n in layer.adapters if n == self.name or n in layer.enabled]
        if self.overlay is not None:
            self.overlay.on()

    def detach(self) -> None:
        """Remove the adapter; the last one to leave gives the model its own classes back."""
        self._outside_mixed("detaching")
        if self._virtual is not None:
            self._virtual.remove()
            self._virtual = None
        if self.merged:
            self.unmerge()
        for layer in self._layers.values():
            del layer.adapters[self.name]
            if self.name in layer.enabled:
                layer.enabled.remove(self.name)
            if not layer.adapters:
                restore(layer)
        self._layers = {}
        if self.overlay is not None:
            self.overlay.off()
        if not any(isinstance(module, AdaptedLayer) for module in self.model.modules()):
            unfreeze_base(self.model)
