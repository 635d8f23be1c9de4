"""The PEFT layout of an adapter: which tensors and which config stand for it (docs/design/files.md#pefts-layout).

Low-rank factors are written as they are, with DoRA's magnitudes beside them. A base-editing init is written as LoRA
of rank 2r in the form that does not cancel: A' = [A; A - A0], B' = [B - B0, B0], with alpha' chosen so that the scale
is unchanged. A module whose rank or scale is its own gets an entry in ``rank_pattern`` or ``alpha_pattern``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.handle import Handle
from rankwise.adapters.merged_pairs import pairs, plain
from rankwise.adapters.parametrizations import LowRank, WeightDecomposed
from rankwise.adapters.scalings import AlphaOverSqrtRank
from rankwise.adapters.slot import Slot

PREFIX = "base_model.model."
_LINEAR = {"A": "lora_A.weight", "B": "lora_B.weight", "m": "lora_magnitude_vector"}
_EMBEDDING = {**_LINEAR, "A": "lora_embedding_A", "B": "lora_embedding_B"}


def key(path: str, factor: str, *, embedding: bool = False) -> str:
    """Return the name in the file of one factor of module ``path``."""
    return f"{PREFIX}{path}.{(_EMBEDDING if embedding else _LINEAR)[factor]}"


def is_peft(adapter: Adapter, layers: Iterable[nn.Module]) -> bool:
    """Return whether PEFT's LoRA layout can hold this adapter; one magnitude per input, for instance, it would misread.

    A base whose codes were chosen with the factors must be saved with them, which that layout has no place for.
    """
    shape = adapter.parametrization
    known = type(shape) is LowRank or (type(shape) is WeightDecomposed and shape.axis == "out")
    kinds = (orientation.host(layer) for layer in layers)
    return known and not adapter.init.quantized and all(kind.linear or kind.lookup for kind in kinds)


def disk_rank(slot: Slot) -> int:
    """Return the rank of the factors in the file."""
    return slot.rank * 2 if slot.edits_base else len(pairs(slot)[0])


def disk_factors(slot: Slot) -> dict[str, Tensor]:
    """Return the factors in the form the file has, on the CPU."""
    factors = {name: value.detach() for name, value in slot.factors.items()}
    if slot.edits_base:
        A, B, A0, B0 = factors["A"], factors["B"], slot.start["A"], slot.start["B"]
        factors |= {"A": torch.cat([A, A - A0]), "B": torch.cat([B - B0, B0], dim=1)}
    else:
        factors["A"], factors["B"] = pairs(slot)
    return {name: value.cpu().contiguous() for name, value in factors.items()}


def peft_tensors(handle: Handle) -> dict[str, Tensor]:
    """Return the tensors of ``adapter_model.safetensors`` by PEFT's names, on the CPU.

    They have the factors' dtype; a tensor that was loaded from a narrower one goes back to it while nothing is lost.
    """
    tensors: dict[str, Tensor] = {}
    for path, slot in handle.slots.items():
        embedding = orientation.is_embedding(handle.layers[path])
        for factor, value in disk_factors(slot).items():
            name = key(path, factor, embedding=embedding)
            tensors[name] = _narrow(value, handle.file_dtypes.get(name))
    if handle.overlay is not None:
        tensors |= {key: handle.overlay.tensors[name] for name, key in handle.overlay.keys.items()}
        tensors |= handle.overlay.copies
    return tensors


def _narrow(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or dtype == value.dtype:
        return value
    narrow = value.to(dtype)
    return narrow if torch.equal(narrow.to(value.dtype), value) else value


def peft_scale(adapter: Adapter) -> dict[str, Any]:
    """Return the part of the config that decides rank and scale."""
    rs = isinstance(adapter.scaling, AlphaOverSqrtRank)
    rank, alpha = adapter.rank, adapter.alpha
    if adapter.init.edits_base:
        rank *= 2
    if not rs:
        alpha = adapter.s * rank
    elif adapter.init.edits_base:
        alpha = adapter.s * rank**0.5
    dora = isinstance(adapter.parametrization, WeightDecomposed)
    return {"r": rank, "lora_alpha": _whole(alpha), "use_rslora": rs, "use_dora": dora}


def peft_config(handle: Handle, base_model: str | None) -> dict[str, Any]:
    """Return ``adapter_config.json``: only keys that every PEFT version since 0.10 knows."""
    adapter = plain(handle.adapter, handle.slots)
    scale = peft_scale(adapter)
    ranks, alphas = _patterns(handle, scale["r"], scale["lora_alpha"], scale["use_rslora"])
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        **scale,
        "lora_dropout": adapter.dropout,
        "target_modules": targets(handle),
        "bias": "none",
        "fan_in_fan_out": any(orientation.is_conv1d(layer) for layer in handle.layers.values()),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    if ranks or alphas:
        config |= {"rank_pattern": ranks, "alpha_pattern": alphas}
    if handle.overlay is not None and handle.overlay.modules:
        config["modules_to_save"] = handle.overlay.modules
    return config


def _patterns(handle: Handle, rank: int, alpha: float, rs: bool) -> tuple[dict[str, int], dict[str, float]]:
    """Return rank and alpha of the modules that have their own."""
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for path, slot in handle.slots.items():
        own = disk_rank(slot)
        needed = slot.scaling * (math.sqrt(own) if rs else own)
        if own != rank:
            ranks[re.escape(path)] = own
        if not math.isclose(needed, alpha, rel_tol=1e-12):
            alphas[re.escape(path)] = _whole(needed)
    return ranks, alphas


def _whole(alpha: float) -> float:
    return int(alpha) if float(alpha).is_integer() else alpha


def targets(handle: Handle) -> list[str] | str:
    """Return suffixes when they select exactly the adapted modules, else one regex of full names."""
    adapted = set(handle.layers)
    suffixes = {path.rsplit(".", 1)[-1] for path in adapted}
    everywhere = {name for name, _ in handle.model.named_modules() if name.rsplit(".", 1)[-1] in suffixes}
    if everywhere == adapted:
        return sorted(suffixes)
    return "|".join(re.escape(path) for path in sorted(adapted))
