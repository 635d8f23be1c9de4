"""Where an adapter starts: every layer's factors, the tensors they share and W0's stored form, before any change.

Each layer draws from a stream of its own, named by its path, so the order of layers, a second adapter or a different
placement elsewhere do not change a layer's start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.calibration import Statistics
from rankwise.adapters.inits import DataInit, QuantizedInit
from rankwise.adapters.layers import AdaptedLayer
from rankwise.adapters.quantized_weight import StoredWeight
from rankwise.adapters.slot import Shared, Slot
from rankwise.adapters.storages import Codes, Storage


@dataclass(frozen=True)
class Started:
    """The start of one layer."""

    path: str
    factors: Mapping[str, Tensor]
    rank: int
    stream: torch.Generator
    stored: StoredWeight | None
    shared: Shared | None
    owner: bool

    def slot(self, module: nn.Module, adapter: Adapter, dropout_stream: torch.Generator) -> Slot:
        """Build the adapter's part in the layer."""
        parametrization = orientation.part(adapter.parametrization, self.path, module)
        shapes = parametrization.shapes(*orientation.shape(module), self.rank)
        return Slot(
            parametrization,
            module,
            self.factors,
            scaling=adapter.s,
            dropout=adapter.dropout,
            edits_base=adapter.init.edits_base,
            generator=dropout_stream,
            rank=self.rank,
            trains=adapter.freezing.trains(shapes),
            stream=self.stream,
            origin=None if self.stored is None else self.stored.codes,
            shared=self.shared,
            owner=self.owner,
        )


def begin(
    modules: Mapping[str, nn.Module],
    adapter: Adapter,
    seed_of: Callable[..., int],
    found: Mapping[str, Statistics],
) -> dict[str, Started]:
    """Return every layer's start by dotted name; layers to which the init gives rank 0 are left out.

    Args:
        seed_of: the seed of the random stream of that name.
        found: what data said, for an init that looks at data.
    """
    ranks = _ranks(modules, adapter, found)
    modules = {path: module for path, module in modules.items() if ranks[path]}
    shared = _shared(modules, adapter, seed_of)
    started: dict[str, Started] = {}
    for path, module in modules.items():
        rank, stream = ranks[path], torch.Generator().manual_seed(seed_of("init", path))
        factors, stored = _factors(path, module, adapter, rank, stream, found)
        device = orientation.sample(module).device
        factors = {name: value.to(device) for name, value in factors.items()}
        started[path] = Started(path, factors, rank, stream, stored, shared, owner=not started)
    return started


def _ranks(modules: Mapping[str, nn.Module], adapter: Adapter, found: Mapping[str, Statistics]) -> dict[str, int]:
    if isinstance(adapter.init, DataInit):
        return adapter.init.ranks(found, adapter.rank)
    return adapter.allocation.ranks(list(modules), adapter.rank)


def _shared(modules: Mapping[str, nn.Module], adapter: Adapter, seed_of: Callable[..., int]) -> Shared | None:
    layers = [orientation.shape(module) for module in modules.values()]
    if not adapter.parametrization.shared_shapes(layers, adapter.rank):
        return None
    first = orientation.weight(next(iter(modules.values())))
    stream = torch.Generator().manual_seed(seed_of("shared"))
    tensors = adapter.parametrization.share(layers, adapter.rank, _wide(first.dtype), stream)
    placed = {name: value.to(first.device) for name, value in tensors.items()}
    return Shared(placed, frozenset(filter(adapter.parametrization.trains_shared, placed)))


def _factors(
    path: str,
    module: nn.Module,
    adapter: Adapter,
    rank: int,
    stream: torch.Generator,
    found: Mapping[str, Statistics],
) -> tuple[Mapping[str, Tensor], StoredWeight | None]:
    """Return the init's factors and W0's stored form."""
    init, host = adapter.init, orientation.host(module)
    stored = keep(module, adapter.storage)
    W0 = host.weight(module) if stored is None else host.matrix(stored.weight)
    wide = W0.detach().to(device="cpu", dtype=_wide(W0.dtype))
    if isinstance(init, DataInit):
        start = init.start_from(found[path], wide, rank, adapter.s, stream)
        return {name: value.contiguous() for name, value in start.items()}, stored
    if isinstance(init, QuantizedInit):
        plain = host.weight(module)

        def encode(W: Tensor) -> Codes:
            like = host.stored(module, W.to(device=plain.device, dtype=plain.dtype))
            return adapter.storage.encode(like)

        def round_trip(W: Tensor) -> Tensor:
            return host.matrix(encode(W).read()).to(W)

        full = plain.to(device="cpu", dtype=_wide(plain.dtype))
        factors, base = init.start_beside(round_trip, full, rank, adapter.s)
        return factors, StoredWeight(adapter.storage, encode(base), cast(nn.Parameter, module.weight))
    return init.start(wide, rank, adapter.s, stream), stored


def keep(module: nn.Module, storage: Storage) -> StoredWeight | None:
    """Return the codes of W0 while the adapter is on ``module``, those that are there or new ones; None: kept as it is.

    A weight without storage (the meta device) stays as it is.
    """
    if isinstance(module, AdaptedLayer) and (module.stored is not None or not storage.quantizes):
        return module.stored
    if not storage.quantizes:
        return None
    own = cast(nn.Parameter, module.weight)
    return None if own.is_meta else StoredWeight(storage, storage.encode(own), own)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
