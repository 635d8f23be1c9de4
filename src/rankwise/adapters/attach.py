"""Attach an adapter to any ``torch.nn.Module`` and hold it by a :class:`Handle`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.calibration import Batch, collect
from rankwise.adapters.inits import DataInit
from rankwise.adapters.layers import AdaptedLayer, Slot, adapt, restore
from rankwise.adapters.overlay import Overlay
from rankwise.adapters.starting import begin
from rankwise.adapters.stored import StoredWeight
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


def stream_seed(seed: int, *what: object) -> int:
    """Return a 63-bit seed for one named random stream, so that streams never depend on each other's order."""
    digest = hashlib.sha256("/".join(map(str, (seed, *what))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def attach(
    model: nn.Module,
    adapter: Adapter,
    *,
    seed: int = 0,
    name: str = "default",
    data: Iterable[Batch] | None = None,
) -> Handle:
    """Attach ``adapter`` to ``model`` in place; the base's weights are frozen and never written.

    Several adapters add up. To continue from an adapter, ``load`` it and train on, or ``merge()`` it and attach a new
    one: that one starts from the merged weights, and stays what it is when the first is unmerged.

    Args:
        model: any module, Hugging Face or not.
        seed: seeds the init and the dropout; each module has its own stream, so the order of modules, a second
            adapter or a different placement elsewhere do not change a module's start.
        name: unique among the adapters on this model.
        data: batches for an init that looks at data (EVA, CorDA, LoRA-GA): keyword arguments of the model, its one
            argument, or functions of the model; see :mod:`rankwise.adapters.calibration`.

    Returns:
        A handle with ``matched``, ``trainable()``, ``delta()``, ``merge()`` and the rest.

    Raises:
        UsageError: nothing matches, the rank is too large for the init, the name is taken, or data is missing or not
            used. On any error the model is as it was.
    """
    if adapter.init.needs_data and data is None:
        raise UsageError(f"init {adapter.init.name!r} needs data; pass attach(..., data=batches).")
    if data is not None and not adapter.init.needs_data:
        raise UsageError(f"init {adapter.init.name!r} does not look at data; leave data out.")
    _check_name(name)
    modules = check(model, adapter)
    _check_free(modules, adapter, name)
    # Every start before the first change: an SVD that fails must not leave half an adapter behind.
    found = {}
    if needs := adapter.init.needs_data:
        normalizes = cast(DataInit, adapter.init).normalizes
        found = collect(model, modules, data or (), needs, normalizes=normalizes)
    started = begin(modules, adapter, lambda *what: stream_seed(seed, *what), found)
    dropout_stream = torch.Generator().manual_seed(stream_seed(seed, "dropout"))
    slots = {path: start.slot(modules[path], adapter, dropout_stream) for path, start in started.items()}
    stored = {path: start.stored for path, start in started.items() if start.stored is not None}
    return install(model, adapter, slots, seed=seed, name=name, stored=stored)


def install(
    model: nn.Module,
    adapter: Adapter,
    slots: Mapping[str, Slot],
    *,
    seed: int = 0,
    name: str = "default",
    stored: Mapping[str, StoredWeight] | None = None,
    overlay: Overlay | None = None,
) -> Handle:
    """Put finished ``slots`` (by dotted module name) on ``model``, and ``overlay`` over it; see :func:`attach`.

    Args:
        stored: the codes that W0 is kept in from now on, by dotted module name.

    Raises:
        UsageError: the name is taken or cannot be one, or a module cannot be adapted; the model is as it was.
    """
    _check_name(name)
    modules = {path: model.get_submodule(path) for path in slots}
    _check_free(modules, adapter, name)
    if overlay is not None:
        overlay.on()
    _freeze_base(model)
    for path, module in modules.items():
        layer = adapt(module)
        if stored and path in stored and layer.stored is None:
            layer.stored = stored[path]
            layer.register_parameter("weight", None)  # read from the codes from now on
        layer.adapters[name] = slots[path].train(module.training)
        layer.enabled.append(name)
    layers = {path: cast(AdaptedLayer, module) for path, module in modules.items()}
    return Handle(model, adapter, name, seed, layers, overlay)


def _check_name(name: str) -> None:
    if not name or not set(name).isdisjoint("./\\"):
        raise UsageError(f"an adapter's name must be non-empty and without dots or slashes, found {name!r}.")
    if hasattr(nn.ModuleDict(), name):
        raise UsageError(f"an adapter cannot be named {name!r}, which torch.nn.ModuleDict uses itself; pick a name.")


def _check_free(modules: Mapping[str, nn.Module], adapter: Adapter, name: str) -> None:
    for path, module in modules.items():
        if isinstance(module, AdaptedLayer) and name in module.adapters:
            raise UsageError(f"an adapter named {name!r} is already attached to {path}; detach it or pick a name.")
        if "forward" in vars(module):
            raise UsageError(
                f"{path} has a forward of its own, put there by another library (for instance accelerate's "
                "offloading), which would bypass the adapter; load the model without it."
            )
        _check_storage(path, module, adapter)


def check(model: nn.Module, adapter: Adapter) -> dict[str, nn.Module]:
    """Return the modules ``adapter`` would adapt, by dotted name, and change nothing.

    Raises:
        UsageError: nothing matches, the rank is too large for the init, or a layer is of a kind that the
            parametrization or the dropout cannot serve.
    """
    adapter.storage.check()
    modules = adapter.placement.select(model)
    ranks = adapter.allocation.ranks(list(modules), adapter.rank)
    for path, module in modules.items():
        host = orientation.host(module)
        d_out, d_in = host.shape(module)
        adapter.init.check(ranks[path], d_out, d_in, path)
        parametrization = orientation.part(adapter.parametrization, path, module)
        parametrization.check(ranks[path], d_out, d_in, path)
        if host.stacked != parametrization.on_stacks:
            wants = "is for experts: placement 'experts'" if parametrization.on_stacks else "needs one matrix"
            instead = "" if parametrization.on_stacks else "; use parametrization 'expert-low-rank'"
            raise UsageError(f"{path} is of kind {host.name}; {parametrization.name!r} {wants}{instead}.")
        if host.vector and not parametrization.on_vectors:
            raise UsageError(f"{path} is a {host.name}, which has no matrix for {parametrization.name!r} to update.")
        if not host.vector and not parametrization.on_matrices:
            raise UsageError(
                f"{path} is a {host.name}; {parametrization.name!r} is for normalizations: placement 'norms'."
            )
        if parametrization.only_tables and not host.lookup:
            raise UsageError(f"{path} is a {host.name}; {parametrization.name!r} goes on the input embeddings only.")
        if host.lookup and (adapter.dropout or not parametrization.lookup):
            what = f"dropout {adapter.dropout:g}" if adapter.dropout else f"parametrization {parametrization.name!r}"
            raise UsageError(f"{what} cannot be used on {path}, an embedding, whose input is token ids.")
    return modules


def _check_storage(path: str, module: nn.Module, adapter: Adapter) -> None:
    """Refuse a second form of one weight."""
    if not isinstance(module, AdaptedLayer):
        return
    if adapter.init.quantized:
        raise UsageError(f"init {adapter.init.name!r} chooses W0's codes, but {path} has an adapter; detach it.")
    stored = None if module.stored is None else module.stored.storage
    if adapter.storage.quantizes and stored != adapter.storage:
        kept = "as it is" if stored is None else f"as {stored!r}"
        raise UsageError(f"{path} keeps W0 {kept} for another adapter, and cannot keep it as {adapter.storage!r} too.")


def _freeze_base(model: nn.Module) -> None:
    """Freeze what is not an adapter's, and remember it on the model until the last adapter leaves."""
    factors = {id(p) for m in model.modules() if isinstance(m, Slot) for p in m.parameters()}
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in factors]
    for parameter in frozen:
        parameter.requires_grad_(False)
    model.__dict__.setdefault("_rankwise_frozen", []).extend(frozen)


def _unfreeze_base(model: nn.Module) -> None:
    for parameter in model.__dict__.pop("_rankwise_frozen", []):
        parameter.requires_grad_(True)


class Handle:
    """One attached adapter. Made by :func:`attach`, not by hand."""

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
            _unfreeze_base(self.model)
