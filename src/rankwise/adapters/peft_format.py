"""The PEFT layout of an adapter: which tensors and which config stand for it (INTEROP.md).

Low-rank factors are written as they are, with DoRA's magnitudes beside them. A base-editing init is written as LoRA
of rank 2r in the form that does not cancel: A' = [A; A - A0], B' = [B - B0, B0], with alpha' chosen so that the scale
is unchanged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import Handle
from rankwise.adapters.inits import Kaiming
from rankwise.adapters.parametrizations import LowRank, WeightDecomposed
from rankwise.adapters.placements import Placement, Regex, Suffixes
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.errors import UsageError

PREFIX = "base_model.model."

# PEFT options that change what the factors mean, or where they go, and that we do not read.
_NOT_LOADED = (
    *("use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "monteclora_config"),
    *("kasa_config", "arrow_config", "velora_config", "rank_pattern", "alpha_pattern", "modules_to_save"),
    *("target_parameters", "trainable_token_indices", "layers_to_transform", "layer_replication", "exclude_modules"),
)
_PEFT_INITS_THAT_KEEP_W0 = (True, False, "gaussian", "orthogonal", "eva", "mica")


def peft_tensors(handle: Handle) -> dict[str, Tensor]:
    """Return the tensors of ``adapter_model.safetensors`` by PEFT's names, on the CPU, in the factors' dtype."""
    tensors: dict[str, Tensor] = {}
    for path, slot in handle.slots.items():
        A, B = slot.factors["A"].detach(), slot.factors["B"].detach()
        if slot.edits_base:
            A0, B0 = slot.start["A"], slot.start["B"]
            A, B = torch.cat([A, A - A0]), torch.cat([B - B0, B0], dim=1)
        tensors[f"{PREFIX}{path}.lora_A.weight"] = A.cpu().contiguous()
        tensors[f"{PREFIX}{path}.lora_B.weight"] = B.cpu().contiguous()
        if "m" in slot.factors:
            tensors[magnitude_key(path)] = slot.factors["m"].detach().cpu().contiguous()
    return tensors


def magnitude_key(path: str) -> str:
    """Return PEFT's name for the magnitudes of module ``path``."""
    return f"{PREFIX}{path}.lora_magnitude_vector"


def peft_config(handle: Handle, base_model: str | None) -> dict[str, Any]:
    """Return ``adapter_config.json``: only keys that every PEFT version since 0.10 knows.

    PEFT has no magnitude per input; such an adapter gets a ``peft_type`` that PEFT refuses, not one it would misread.
    """
    adapter = handle.adapter
    rank, alpha, rs = adapter.rank, adapter.alpha, isinstance(adapter.scaling, AlphaOverSqrtRank)
    decomposed = adapter.parametrization if isinstance(adapter.parametrization, WeightDecomposed) else None
    if adapter.init.edits_base:
        rank *= 2
    if not rs:
        alpha = adapter.s * rank
    elif adapter.init.edits_base:
        alpha = adapter.s * rank**0.5
    return {
        "peft_type": "RANKWISE" if decomposed and decomposed.axis == "in" else "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "use_rslora": rs,
        "use_dora": decomposed is not None,
        "lora_dropout": adapter.dropout,
        "target_modules": target_modules(handle),
        "bias": "none",
        "fan_in_fan_out": any("Conv1D" in type(layer).__name__ for layer in handle.layers.values()),
        "init_lora_weights": True,
        "inference_mode": True,
    }


def target_modules(handle: Handle) -> list[str] | str:
    """Return suffixes when they select exactly the adapted modules, else one regex of full names."""
    adapted = set(handle.layers)
    suffixes = {path.rsplit(".", 1)[-1] for path in adapted}
    everywhere = {name for name, _ in handle.model.named_modules() if name.rsplit(".", 1)[-1] in suffixes}
    if everywhere == adapted:
        return sorted(suffixes)
    return "|".join(re.escape(path) for path in sorted(adapted))


def plain_lora(config: dict[str, Any], folder: Path) -> Adapter:
    """Translate ``adapter_config.json`` of a LoRA, rsLoRA or DoRA checkpoint made by PEFT.

    Raises:
        UsageError: another method, an option that we do not read, or an init whose factors need an edited base.
    """
    if config.get("peft_type") != "LORA":
        raise UsageError(f"{folder} holds a {config.get('peft_type')!r} adapter; only PEFT LoRA can be loaded here.")
    for key in _NOT_LOADED:
        if config.get(key):
            raise UsageError(f"{folder} uses {key}={config[key]!r}, which cannot be loaded here yet.")
    init = config.get("init_lora_weights", True)
    if init not in _PEFT_INITS_THAT_KEEP_W0:
        raise UsageError(
            f"{folder} was saved by PEFT with init_lora_weights={init!r}: its factors belong to a base that PEFT "
            "edited, not to this one. Save it from PEFT with path_initial_model_for_weight_conversion, then load that."
        )
    targets = config.get("target_modules")
    placement: Placement
    if isinstance(targets, str):
        placement = Regex(rf"^(?:{targets})$")
    else:
        placement = Suffixes(tuple(cast("list[str]", targets or [])))
    return Adapter(
        rank=int(config.get("r", 8)),
        alpha=float(config.get("lora_alpha", 8)),
        parametrization=WeightDecomposed() if config.get("use_dora") else LowRank(),
        init=Kaiming(),
        scaling=AlphaOverSqrtRank() if config.get("use_rslora") else AlphaOverRank(),
        placement=placement,
        dropout=float(config.get("lora_dropout", 0.0)),
    )
