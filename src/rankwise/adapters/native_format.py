"""Our own layout, for adapters that PEFT's LoRA layout cannot hold: every tensor under its own name.

adapter_model.safetensors    "<module>:<factor>", "<module>:<factor>_start", "*:<shared tensor>"; for an init that
                             chooses W0's codes also "<module>:codes.<part>"
adapter_config.json          a ``peft_type`` that PEFT refuses, not one it would misread
rankwise.json                the spec, ``"layout": "rankwise"`` and every layer's rank

Frozen tensors are saved too, although the seed gives them again: a factorization of another machine differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import stream_seed
from rankwise.adapters.checkpoint_files import OURS, check_tensors, listed, place_and_dtype
from rankwise.adapters.handle import Handle
from rankwise.adapters.initialization import keep
from rankwise.adapters.parametrizations import Shapes
from rankwise.adapters.peft_format import targets
from rankwise.adapters.quantized_weight import StoredWeight
from rankwise.adapters.slot import Shared, Slot
from rankwise.errors import UsageError

LAYOUT = "rankwise"
_SHARED, _CODES = "*", "codes."


def native_tensors(handle: Handle) -> dict[str, Tensor]:
    """Return the tensors of ``adapter_model.safetensors``, on the CPU."""
    found = {f"{_SHARED}:{name}": value for name, value in handle.shared.items()}
    for path, slot in handle.slots.items():
        found |= {f"{path}:{name}": value for name, value in slot.own.items()}
        stored = handle.layers[path].stored
        if handle.adapter.init.quantized and stored is not None:
            found |= {f"{path}:{_CODES}{name}": value for name, value in stored.codes.tensors().items()}
    return {key: value.detach().cpu().contiguous() for key, value in found.items()}


def native_config(handle: Handle, base_model: str | None) -> dict[str, Any]:
    """Return ``adapter_config.json``."""
    return {
        "peft_type": "RANKWISE",
        "base_model_name_or_path": base_model,
        "method": handle.adapter.parametrization.name,
        "target_modules": targets(handle),
    }


def native_spec(handle: Handle) -> dict[str, Any]:
    """Return what ``rankwise.json`` says besides the adapter."""
    return {"layout": LAYOUT, "ranks": {path: slot.rank for path, slot in handle.slots.items()}}


def build_native(
    model: nn.Module, adapter: Adapter, seed: int, spec: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> tuple[dict[str, Slot], dict[str, StoredWeight]]:
    """Build what ``attach.install`` puts on ``model``, which is not changed.

    Args:
        spec: what ``rankwise.json`` holds.

    Raises:
        UsageError: layers or tensors are missing, extra, of another shape, or not finite.
    """
    ranks = _ranks(spec, folder)
    modules = _modules(model, ranks, folder)
    sizes = {path: orientation.shape(module) for path, module in modules.items()}
    parts = {path: orientation.part(adapter.parametrization, path, module) for path, module in modules.items()}
    shapes = {path: parts[path].shapes(*sizes[path], rank) for path, rank in ranks.items()}
    frozen = {path: parts[path].frozen_shapes(*sizes[path], rank) for path, rank in ranks.items()}
    shared = adapter.parametrization.shared_shapes(list(sizes.values()), adapter.rank)
    expected = _expected(adapter, shapes, frozen, shared)
    codes = {key: value for key, value in tensors.items() if key.rpartition(":")[2].startswith(_CODES)}
    extra = check_tensors(expected, {key: value for key, value in tensors.items() if key not in codes}, folder)
    if extra or (codes and not adapter.init.quantized):
        names = listed(extra or sorted(codes))
        raise UsageError(f"{folder} has {len(extra or codes)} tensors this adapter has no place for: {names}.")

    device, wide = place_and_dtype(next(iter(modules.values())))
    common = {name: tensors[f"{_SHARED}:{name}"].to(device, wide) for name in shared}
    pair = Shared(common, frozenset(filter(adapter.parametrization.trains_shared, common))) if shared else None
    stream = torch.Generator().manual_seed(stream_seed(seed, "dropout"))
    slots: dict[str, Slot] = {}
    stored: dict[str, StoredWeight] = {}
    for path, module in modules.items():
        device, wide = place_and_dtype(module)
        own = {key: tensors[f"{path}:{key}"].to(device, wide) for key in _own(adapter, shapes[path], frozen[path])}
        factors = {**shapes[path], **frozen[path]}
        if (kept := _stored(path, module, adapter, codes, folder)) is not None:
            stored[path] = kept
        slots[path] = Slot(
            parts[path],
            module,
            {name: value for name, value in own.items() if name in factors},
            scaling=adapter.s,
            dropout=adapter.dropout,
            edits_base=adapter.init.edits_base,
            generator=stream,
            rank=ranks[path],
            trains=adapter.freezing.trains(shapes[path]),
            origin=None if kept is None else kept.codes,
            shared=pair,
            owner=not slots,
            start={name.removesuffix("_start"): value for name, value in own.items() if name not in factors},
        )
    return slots, stored


def _ranks(spec: Mapping[str, Any], folder: Path) -> dict[str, int]:
    found = spec.get("ranks")
    if not isinstance(found, dict) or not found or not all(type(r) is int and r >= 1 for r in found.values()):
        raise UsageError(f"{folder}/{OURS}: ranks must give a whole number for every layer; copy it again.")
    return cast("dict[str, int]", found)


def _modules(model: nn.Module, ranks: Mapping[str, int], folder: Path) -> dict[str, nn.Module]:
    """Return the adapted layers in the model's order: the first owns what they share."""
    found = {name: module for name, module in model.named_modules() if name in ranks}
    if missing := [path for path in ranks if path not in found]:
        raise UsageError(f"{folder} adapts {listed(missing)}, which this {type(model).__name__} lacks: another base?")
    return found


def _own(adapter: Adapter, shapes: Shapes, frozen: Shapes) -> Shapes:
    """Return the tensors of one layer, the frozen ones and a frozen start included."""
    starts = {f"{name}_start": shape for name, shape in shapes.items() if name in adapter.init.gives}
    return shapes | frozen | (starts if adapter.init.edits_base else {})


def _expected(adapter: Adapter, shapes: Mapping[str, Shapes], frozen: Mapping[str, Shapes], shared: Shapes) -> Shapes:
    own = {f"{path}:{name}": s for path, of in shapes.items() for name, s in _own(adapter, of, frozen[path]).items()}
    return {**{f"{_SHARED}:{name}": shape for name, shape in shared.items()}, **own}


def _stored(
    path: str, module: nn.Module, adapter: Adapter, codes: Mapping[str, Tensor], folder: Path
) -> StoredWeight | None:
    """Return the saved codes of an init that chose them, else those of the base."""
    if not adapter.init.quantized:
        return keep(module, adapter.storage)
    prefix = f"{path}:{_CODES}"
    saved = {key.removeprefix(prefix): value for key, value in codes.items() if key.startswith(prefix)}
    if not saved:
        raise UsageError(f"{folder} lacks the codes of {path}; copy it again.")
    own = cast(nn.Parameter, module.weight)
    return StoredWeight(adapter.storage, adapter.storage.revive(saved, own), own)
