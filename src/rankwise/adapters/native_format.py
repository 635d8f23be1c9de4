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
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters.attach import Handle
from rankwise.adapters.parametrizations import LowRank, WeightDecomposed
from rankwise.adapters.peft_format import target_modules
from rankwise.adapters.starting import Saved
from rankwise.errors import UsageError

LAYOUT = "rankwise"


def needs_own_layout(handle: Handle) -> bool:
    """Return whether PEFT's LoRA layout cannot hold this adapter."""
    adapter = handle.adapter
    return (
        type(adapter.parametrization) not in (LowRank, WeightDecomposed)
        or adapter.init.quantized
        or any(slot.rank != adapter.rank or not slot.kind.linear for slot in handle.slots.values())
        or (bool(adapter.init.needs_data) and set(handle.layers) != set(adapter.placement.select(handle.model)))
    )


def native_tensors(handle: Handle) -> dict[str, Tensor]:
    """Return the tensors of ``adapter_model.safetensors``, on the CPU."""
    return {key: value.detach().cpu().contiguous() for key, value in _places(handle).items()}


def native_config(handle: Handle, base_model: str | None) -> dict[str, Any]:
    """Return ``adapter_config.json``."""
    return {
        "peft_type": "RANKWISE",
        "base_model_name_or_path": base_model,
        "method": handle.adapter.parametrization.name,
        "target_modules": target_modules(handle),
    }


def native_spec(handle: Handle) -> dict[str, Any]:
    """Return what ``rankwise.json`` says besides the adapter."""
    return {"layout": LAYOUT, "ranks": {path: slot.rank for path, slot in handle.slots.items()}}


def saved_start(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Saved:
    """Return what a native checkpoint says about the start."""
    codes: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        path, _, name = key.rpartition(":")
        if name.startswith("codes."):
            codes.setdefault(path, {})[name.removeprefix("codes.")] = value
    return Saved({path: int(rank) for path, rank in spec["ranks"].items()}, codes)


def fill_native(handle: Handle, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put saved tensors in their places.

    Raises:
        UsageError: tensors are missing, extra, of another shape, or not finite.
    """
    places = _places(handle)
    if missing := sorted(set(places) - set(tensors)):
        raise UsageError(f"{folder} lacks {len(missing)} tensors of this model, first {missing[0]}: another base?")
    if extra := sorted(set(tensors) - set(places)):
        raise UsageError(f"{folder} has {len(extra)} tensors this adapter has no place for, first {extra[0]}.")
    with torch.no_grad():
        for key, place in places.items():
            found = tensors[key]
            if found.shape != place.shape:
                raise UsageError(f"{key} in {folder} is {tuple(found.shape)}, this model needs {tuple(place.shape)}.")
            if found.is_floating_point() and not torch.isfinite(found).all():
                raise UsageError(f"{key} in {folder} holds NaN or infinity; the file is damaged or training diverged.")
            if ":codes." not in key:  # those were read when the adapter was attached
                place.copy_(found)


def _places(handle: Handle) -> dict[str, Tensor]:
    """Return every tensor of the adapter by its key."""
    found = {f"*:{name}": value for name, value in handle.shared.items()}
    for path, slot in handle.slots.items():
        found |= {f"{path}:{name}": value for name, value in slot.own.items()}
        stored = handle.layers[path].stored
        if handle.adapter.init.quantized and stored is not None:
            found |= {f"{path}:codes.{name}": value for name, value in stored.codes.tensors().items()}
    return found
