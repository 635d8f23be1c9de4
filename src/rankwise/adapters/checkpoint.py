"""Save an adapter to a folder and load it again: PEFT layout, safetensors only, atomic, strict.

adapter_config.json          PEFT's configuration
adapter_model.safetensors    PEFT's tensors
rankwise.json                our spec (all axes), the attach seed, the base's fingerprint
(Adapters that PEFT's LoRA cannot express have a layout of our own: native_format.py.)
rankwise_start.safetensors   only for base-editing inits: B and A0 in full precision, so that loading gives
                             the very same factors back (A and B0 are parts of PEFT's tensors)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import Handle, attach, place
from rankwise.adapters.native_format import (
    LAYOUT,
    fill_native,
    native_config,
    native_spec,
    native_tensors,
    needs_own_layout,
    saved_start,
)
from rankwise.adapters.peft_format import PREFIX, magnitude_key, peft_config, peft_tensors, plain_lora
from rankwise.adapters.starting import Saved
from rankwise.errors import UsageError
from rankwise.files import write_json, write_tensors


def save(handle: Handle, folder: str | Path, *, base_model: str | None = None, base_fingerprint: str = "") -> Path:
    """Write the adapter to ``folder`` and return it. Loads with ``peft.PeftModel.from_pretrained``.

    PEFT refuses the one kind that it does not have: DoRA with a magnitude per input.

    Args:
        base_model: name or path of the base, for PEFT's config.
        base_fingerprint: hash of the base; when given, :func:`load` can refuse another base.

    Raises:
        UsageError: a factor holds NaN or infinity, or the adapter is merged.
    """
    folder = Path(folder)
    if handle.merged:
        raise UsageError(f"adapter {handle.name!r} is merged into the base; unmerge it before saving.")
    if not handle.layers:
        raise UsageError(f"adapter {handle.name!r} was detached; there is nothing to save.")
    for name, factor in handle.trainable().items():
        if not torch.isfinite(factor).all():
            raise UsageError(f"{name} holds NaN or infinity; nothing was saved. Train with a lower learning rate.")
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"adapter": handle.adapter.to_dict(), "seed": handle.seed, "base_fingerprint": base_fingerprint}
    if needs_own_layout(handle):
        write_tensors(folder / "adapter_model.safetensors", native_tensors(handle))
        (folder / "rankwise_start.safetensors").unlink(missing_ok=True)
        write_json(folder / "adapter_config.json", native_config(handle, base_model))
        write_json(folder / "rankwise.json", {**spec, **native_spec(handle)})
        return folder
    start: dict[str, Tensor] = {}
    for path, slot in handle.slots.items():
        if slot.edits_base:
            start[f"{path}.B"] = slot.factors["B"].detach().cpu().contiguous()
            start[f"{path}.A_start"] = slot.start["A"].cpu().contiguous()
    write_tensors(folder / "adapter_model.safetensors", peft_tensors(handle))
    if start:
        write_tensors(folder / "rankwise_start.safetensors", start)
    else:
        (folder / "rankwise_start.safetensors").unlink(missing_ok=True)
    write_json(folder / "adapter_config.json", peft_config(handle, base_model))
    write_json(folder / "rankwise.json", spec)
    return folder


def load(model: nn.Module, folder: str | Path, *, name: str = "default", base_fingerprint: str = "") -> Handle:
    """Attach the adapter saved in ``folder`` (ours, or LoRA, rsLoRA or DoRA made by PEFT) to ``model``.

    It can be trained on from there.

    Raises:
        UsageError: a missing or truncated file, a wrong base, a method we do not know, or tensors that are
            missing, extra, of another shape or not finite; nothing stays attached.
    """
    folder = Path(folder)
    config = _read_json(folder / "adapter_config.json")
    tensors = _load_tensors(folder / "adapter_model.safetensors")
    ours = _read_json(folder / "rankwise.json") if (folder / "rankwise.json").exists() else None
    if ours is None:
        adapter, seed = plain_lora(config, folder), 0
    else:
        if missing := {"adapter", "seed"} - set(ours):
            raise UsageError(f"{folder}/rankwise.json lacks {sorted(missing)[0]!r}; copy it again.")
        adapter, seed = Adapter.from_dict(ours["adapter"]), int(ours["seed"])
        saved = ours.get("base_fingerprint", "")
        if saved and base_fingerprint and saved != base_fingerprint:
            raise UsageError(
                f"{folder} was trained on another base (fingerprint {saved[:12]}, this model has "
                f"{base_fingerprint[:12]}); load the base named in its adapter_config.json."
            )
    native = ours is not None and ours.get("layout") == LAYOUT
    if native or adapter.init.needs_data:
        handle = place(model, adapter, seed, name, saved=saved_start(ours, tensors) if ours and native else Saved())
    else:
        handle = attach(model, adapter, seed=seed, name=name)
    try:
        if native:
            fill_native(handle, tensors, folder)
            return handle
        start_file = folder / "rankwise_start.safetensors"
        start = _load_tensors(start_file) if adapter.init.edits_base else {}
        if ours is not None:
            _check_config(config, peft_config(handle, None), folder)
        _fill(handle, tensors, start, folder)
    except Exception:
        handle.detach()
        raise
    return handle


def _check_config(found: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    """Refuse a PEFT config that no longer says what rankwise.json says: which of the two was meant?"""
    for key in ("r", "lora_alpha", "use_rslora", "use_dora"):
        if found.get(key, False) != ours[key]:
            raise UsageError(
                f"{folder}/adapter_config.json has {key}={found.get(key)!r} but rankwise.json implies {ours[key]!r}; "
                "if another program changed the adapter, remove rankwise.json to load what adapter_config.json says."
            )


def _fill(handle: Handle, tensors: dict[str, Tensor], start: dict[str, Tensor], folder: Path) -> None:
    expected = {key: tensor.shape for key, tensor in peft_tensors(handle).items()}
    if missing := sorted(set(expected) - set(tensors)):
        raise UsageError(f"{folder} lacks {len(missing)} tensors of this model, first {missing[0]}: another base?")
    if extra := sorted(set(tensors) - set(expected)):
        raise UsageError(f"{folder} has {len(extra)} tensors this adapter has no place for, first {extra[0]}.")
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise UsageError(f"{key} in {folder} is {tuple(tensors[key].shape)}, this model needs {tuple(shape)}.")
        if not torch.isfinite(tensors[key]).all():
            raise UsageError(f"{key} in {folder} holds NaN or infinity; the file is damaged or training diverged.")
    rank = handle.adapter.rank
    with torch.no_grad():
        for path, slot in handle.slots.items():
            A = tensors[f"{PREFIX}{path}.lora_A.weight"]
            B = tensors[f"{PREFIX}{path}.lora_B.weight"]
            if slot.edits_base:
                own_B, A0 = start.get(f"{path}.B"), start.get(f"{path}.A_start")
                if own_B is None or A0 is None:
                    raise UsageError(f"{folder}/rankwise_start.safetensors lacks the factors of {path}.")
                B0 = B[:, rank:]
                # The PEFT tensors hold A, A - A0, B - B0 and B0: the two files must tell the same story.
                if not (_is_difference(A[rank:], A[:rank], A0) and _is_difference(B[:, :rank], own_B, B0)):
                    raise UsageError(
                        f"{folder}/rankwise_start.safetensors does not belong to adapter_model.safetensors ({path}): "
                        "a copy went wrong, or another program trained the adapter on. In the second case remove "
                        "rankwise_start.safetensors and rankwise.json to load it as plain LoRA."
                    )
                slot.start["A"].copy_(A0)
                slot.start["B"].copy_(B0)
                A, B = A[:rank], own_B
            slot.factors["A"].copy_(A)
            slot.factors["B"].copy_(B)
            if "m" in slot.factors:
                slot.factors["m"].copy_(tensors[magnitude_key(path)])


def _is_difference(difference: Tensor, left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(difference, left - right)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        if path.with_suffix(".bin").exists():
            raise UsageError(f"{path.parent} holds a pickle (.bin), which is never opened; convert it to safetensors.")
        raise UsageError(f"{path} does not exist; an adapter folder holds adapter_config.json and {path.name}.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged or truncated ({error}); copy it again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; an adapter folder holds {path.name}.") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} is not readable JSON ({error}).") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} does not hold a JSON object.")
    return value
