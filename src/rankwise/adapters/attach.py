"""Attach an adapter to any ``torch.nn.Module``; a :class:`~rankwise.adapters.handle.Handle` holds it from then on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.calibration import Batch, collect
from rankwise.adapters.class_swap import adapt
from rankwise.adapters.handle import Handle
from rankwise.adapters.initialization import begin
from rankwise.adapters.inits import DataInit
from rankwise.adapters.layers import AdaptedLayer, freeze_base
from rankwise.adapters.overlay import Overlay
from rankwise.adapters.quantized_weight import StoredWeight
from rankwise.adapters.slot import Slot
from rankwise.errors import UsageError


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
    if not isinstance(model, nn.Module) or not isinstance(adapter, Adapter):
        raise UsageError(
            f"attach needs a module and an adapter such as rankwise.methods.lora(rank=8), found a "
            f"{type(model).__name__} and a {type(adapter).__name__}."
        )
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
    freeze_base(model)
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
