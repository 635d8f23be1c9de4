"""Which parameters there are, by kind of module, and how many an adapter adds to each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from rankwise.adapters import Adapter, orientation
from rankwise.adapters.attach import check
from rankwise.adapters.parametrizations import Shapes


@dataclass(frozen=True)
class ModuleKind:
    """Modules of one name and shape, over all layers.

    Attributes:
        name: the module's path inside its layer, for instance ``self_attn.q_proj``.
        modules: how many there are.
        shape: d_out x d_in of a linear module, else the shape of its largest parameter.
        parameters: of all of them together; a tied parameter counts where it is met first.
        adapter: trainable parameters the adapter adds to them.
    """

    name: str
    modules: int
    shape: tuple[int, ...]
    parameters: int
    adapter: int


def adapter_parameters(model: nn.Module, adapter: Adapter) -> dict[str, int]:
    """Return the trainable parameters by adapted module; nothing is attached and no weight is read.

    Raises:
        UsageError: nothing matches, or the rank is too large for the init.
    """
    counts, modules = {}, check(model, adapter)
    ranks = adapter.allocation.ranks(list(modules), adapter.rank)
    for name, module in modules.items():
        shapes = _trained(adapter, name, module, ranks[name])
        counts[name] = sum(prod(shape) for shape in shapes.values())
    layers = [orientation.shape(module) for module in modules.values()]
    shared = adapter.parametrization.shared_shapes(layers, adapter.rank)
    trained = [prod(shape) for name, shape in shared.items() if adapter.parametrization.trains_shared(name)]
    counts[next(iter(counts))] += sum(trained)  # where they are met first
    return counts


def optimizer_numbers(model: nn.Module, adapter: Adapter) -> dict[str, int]:
    """Return how many numbers the optimizer keeps, by adapted module; shared tensors where they are met first."""
    counts, modules = {}, check(model, adapter)
    ranks = adapter.allocation.ranks(list(modules), adapter.rank)
    for name, module in modules.items():
        shapes = _trained(adapter, name, module, ranks[name])
        counts[name] = sum(map(adapter.optimizer.state, shapes.values()))
    layers = [orientation.shape(module) for module in modules.values()]
    shared = adapter.parametrization.shared_shapes(layers, adapter.rank)
    trained = [shape for name, shape in shared.items() if adapter.parametrization.trains_shared(name)]
    counts[next(iter(counts))] += sum(map(adapter.optimizer.state, trained))
    return counts


def frozen_parameters(model: nn.Module, adapter: Adapter) -> dict[str, int]:
    """Return what the adapter keeps besides what trains, by adapted module: frozen factors and a frozen start.

    Shared tensors count where they are met first.
    """
    parametrization, modules, counts = adapter.parametrization, check(model, adapter), {}
    layers = [orientation.shape(module) for module in modules.values()]
    ranks = adapter.allocation.ranks(list(modules), adapter.rank)
    for (name, module), size in zip(modules.items(), layers, strict=True):
        own = orientation.part(parametrization, name, module)
        shapes, trained = own.shapes(*size, ranks[name]), _trained(adapter, name, module, ranks[name])
        counts[name] = sum(prod(shape) for factor, shape in shapes.items() if factor not in trained)
        counts[name] += sum(map(prod, own.frozen_shapes(*size, ranks[name]).values()))
        if adapter.init.edits_base:
            counts[name] += sum(prod(shape) for factor, shape in shapes.items() if factor in adapter.init.gives)
    shared = parametrization.shared_shapes(layers, adapter.rank)
    kept = [prod(shape) for name, shape in shared.items() if not parametrization.trains_shared(name)]
    counts[next(iter(counts))] += sum(kept)
    return counts


def adapter_products(model: nn.Module, adapter: Adapter) -> int:
    """Return how many numbers the adapter multiplies an input with: its factors on every layer, frozen ones too."""
    parametrization, modules = adapter.parametrization, check(model, adapter)
    layers = [orientation.shape(module) for module in modules.values()]
    shared = parametrization.shared_shapes(layers, adapter.rank)
    pair = {name: torch.empty(shape, device="meta") for name, shape in shared.items()}
    ranks = adapter.allocation.ranks(list(modules), adapter.rank)
    total = 0
    for (name, module), size in zip(modules.items(), layers, strict=True):
        own = orientation.part(parametrization, name, module)
        shapes = own.shapes(*size, ranks[name]) | own.frozen_shapes(*size, ranks[name])
        total += own.multiplied(shapes)
        total += sum(part.numel() for part in parametrization.local(pair, *size).values())
    return total


def _trained(adapter: Adapter, name: str, module: nn.Module, rank: int) -> Shapes:
    """Return the shape of every tensor that trains on this module, by name."""
    shapes = orientation.part(adapter.parametrization, name, module).shapes(*orientation.shape(module), rank)
    trains = adapter.freezing.trains(shapes)
    return {factor: shape for factor, shape in shapes.items() if factor in trains}


def kinds(model: nn.Module, adapted: dict[str, int]) -> tuple[ModuleKind, ...]:
    """Return the model's parameters grouped by kind of module, in the model's order.

    Args:
        adapted: from :func:`adapter_parameters`; empty without an adapter.
    """
    seen: set[int] = set()
    found: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if not own:
            continue
        largest = max(own, key=lambda p: p.numel())
        shape = orientation.shape(module) if orientation.is_linear(module) else tuple(largest.shape)
        new = [p for p in own if id(p) not in seen]
        seen.update(id(p) for p in own)
        row = found.setdefault((_in_layer(name), shape), [0, 0, 0])
        for column, amount in enumerate((1, sum(p.numel() for p in new), adapted.get(name, 0))):
            row[column] += amount
    return tuple(ModuleKind(name, row[0], shape, row[1], row[2]) for (name, shape), row in found.items())


def _in_layer(path: str) -> str:
    """Return what follows the layer's number, or the last part when there is none."""
    parts = path.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[numbers[-1] + 1 :] if numbers else parts[-1:]) or parts[-1]
