"""Save an adapter to a folder and load it again: PEFT layout, safetensors only, atomic, strict.

adapter_config.json          PEFT's configuration
adapter_model.safetensors    PEFT's tensors
rankwise.json                our spec (all axes), the attach seed, the base's fingerprint
rankwise_start.safetensors   only for base-editing inits: B and A0 in full precision, so that loading gives
                             the very same factors back (A and B0 are parts of PEFT's tensors)
rankwise.sha256              sums of the two .json files; the tensors carry digests of their own
<name>/                      further adapters of the same base, one folder each, as PEFT puts them

What PEFT's LoRA layout cannot hold has a layout of our own: native_format.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import install
from rankwise.adapters.checkpoint_files import (
    CONFIG,
    OURS,
    START,
    TENSORS,
    check_folder,
    check_reach,
    read_json,
    read_tensors,
)
from rankwise.adapters.checkpoint_parts import build
from rankwise.adapters.handle import Handle
from rankwise.adapters.merged_pairs import plain
from rankwise.adapters.native_format import LAYOUT, build_native, native_config, native_spec, native_tensors
from rankwise.adapters.peft_config import plain_lora, plain_name, read_terms
from rankwise.adapters.peft_format import is_peft, peft_config, peft_scale, peft_tensors
from rankwise.digests import write_sums
from rankwise.errors import UsageError
from rankwise.files import write_json
from rankwise.reading import Options
from rankwise.tensor_files import write_tensors


def save(handle: Handle, folder: str | Path, *, base_model: str | None = None, base_fingerprint: str = "") -> Path:
    """Write the adapter to ``folder`` and return it. Loads with ``peft.PeftModel.from_pretrained``.

    PEFT refuses what its LoRA does not have, such as DoRA with a magnitude per input.

    Args:
        base_model: name or path of the base, for PEFT's config.
        base_fingerprint: hash of the base; when given, :func:`load` can refuse another base.

    Raises:
        UsageError: a factor holds NaN or infinity, or the adapter is merged.
    """
    if not isinstance(handle, Handle):
        raise UsageError(f"save needs the handle that attach or load returned, found a {type(handle).__name__}.")
    folder = Path(folder)
    if handle.merged:
        raise UsageError(f"adapter {handle.name!r} is merged into the base; unmerge it before saving.")
    if not handle.layers:
        raise UsageError(f"adapter {handle.name!r} was detached; there is nothing to save.")
    for name, factor in handle.trainable().items():
        if not torch.isfinite(factor).all():
            raise UsageError(f"{name} holds NaN or infinity; nothing was saved. Train with a lower learning rate.")
    folder.mkdir(parents=True, exist_ok=True)
    adapter = plain(handle.adapter, handle.slots)
    spec = {"adapter": adapter.to_dict(), "seed": handle.seed, "base_fingerprint": base_fingerprint}
    start: dict[str, Tensor] = {}
    if is_peft(adapter, handle.layers.values()):
        tensors, config = peft_tensors(handle), peft_config(handle, base_model)
        start = _starts(handle)
    else:
        tensors, config = native_tensors(handle), native_config(handle, base_model)
        spec |= native_spec(handle)
    write_tensors(folder / TENSORS, tensors)
    if start:
        write_tensors(folder / START, start)
    else:
        (folder / START).unlink(missing_ok=True)
    write_json(folder / CONFIG, config)
    write_json(folder / OURS, spec)
    write_sums(folder, (CONFIG, OURS))
    return folder


def _starts(handle: Handle) -> dict[str, Tensor]:
    found = {}
    for path, slot in handle.slots.items():
        if slot.edits_base:
            found[f"{path}.B"] = slot.factors["B"].detach().cpu().contiguous()
            found[f"{path}.A_start"] = slot.start["A"].cpu().contiguous()
    return found


def load(model: nn.Module, folder: str | Path, *, name: str = "default", base_fingerprint: str = "") -> Handle:
    """Attach the adapter saved in ``folder`` (ours, or LoRA, rsLoRA or DoRA made by PEFT) to ``model``.

    It can be trained on from there; whole tensors it brings along (``modules_to_save``) act but stay as they are.

    Raises:
        UsageError: a missing or truncated file, a wrong base, a method we do not know, or tensors that are
            missing, extra, of another shape or not finite; nothing stays attached.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        check_folder(folder)
    config = read_json(folder / CONFIG, hint=_others(folder))
    tensors = read_tensors(folder / TENSORS)
    ours = read_json(folder / OURS) if (folder / OURS).exists() else None
    if ours is not None and ours.get("layout") == LAYOUT:
        adapter, seed = _our_spec(ours, folder, base_fingerprint)
        slots, stored = build_native(model, adapter, seed, ours, tensors, folder)
        check_reach(slots, folder)
        return install(model, adapter, slots, seed=seed, name=name, stored=stored)
    terms = read_terms(config, folder)
    tensors = _uncompiled(tensors, folder)
    if ours is None:
        try:
            adapter, seed = plain_lora(config, terms, folder, model), 0
        except UsageError as error:
            placed = str(error).startswith((f"{folder}/", f"{folder}:", f"{folder} "))
            raise error if placed else UsageError(f"{folder}/{CONFIG}: {error}") from None
    else:
        adapter, seed = _our_spec(ours, folder, base_fingerprint)
        _check_config(config, peft_scale(adapter), folder)
    start = read_tensors(folder / START) if adapter.init.edits_base else {}
    slots, stored, overlay = build(model, adapter, seed, terms, tensors, start, folder, exact=ours is not None)
    check_reach(slots, folder)
    handle = install(model, adapter, slots, seed=seed, name=name, stored=stored, overlay=overlay)
    handle.file_dtypes = {key: tensor.dtype for key, tensor in tensors.items()}
    return handle


def adapters_in(folder: str | Path) -> dict[str, Path]:
    """Return the adapters of a folder by name: ``default`` in the folder itself, others in ``<folder>/<name>/``."""
    folder = Path(folder)
    found = {"default": folder} if (folder / CONFIG).is_file() else {}
    try:
        inside = sorted(child for child in folder.iterdir() if (child / CONFIG).is_file())
    except OSError:
        inside = []
    return found | {child.name: child for child in inside if not child.name.startswith(".")}


def load_all(model: nn.Module, folder: str | Path, *, base_fingerprint: str = "") -> dict[str, Handle]:
    """Load every adapter of a folder, each under its own name; the first stays on, the others are disabled.

    Raises:
        UsageError: as :func:`load`, or there is none; nothing stays attached.
    """
    handles: dict[str, Handle] = {}
    try:
        for name, place in adapters_in(folder).items():
            handles[name] = load(model, place, name=name, base_fingerprint=base_fingerprint)
            if len(handles) > 1:
                handles[name].disable()
    except Exception:
        for handle in reversed(handles.values()):
            handle.detach()
        raise
    if not handles:
        raise UsageError(f"{folder} holds no adapter (no {CONFIG} in it or in a folder inside).")
    return handles


def save_all(handles: Mapping[str, Handle], folder: str | Path, **about: str) -> Path:
    """Save several adapters of one model as PEFT does: ``default`` in ``folder``, others in ``<folder>/<name>/``.

    Raises:
        UsageError: a name that leads out of the folder; nothing is written.
    """
    folder = Path(folder)
    for name in handles:
        if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
            raise UsageError(f"an adapter's name must be a plain folder name, found {name!r}; nothing was written.")
    for name, handle in handles.items():
        save(handle, folder if name == "default" else folder / name, **about)
    return folder


def _uncompiled(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    plain = {plain_name(key): tensor for key, tensor in tensors.items()}
    if len(plain) < len(tensors):
        raise UsageError(f"{folder}/{TENSORS} holds tensors both of a compiled model (_orig_mod) and of a plain one.")
    return plain


def _others(folder: Path) -> str:
    names = [name for name in adapters_in(folder) if name != "default"]
    return f" It holds adapters {', '.join(names)}: give {folder / names[0]}." if names else ""


def _our_spec(ours: dict[str, Any], folder: Path, base_fingerprint: str) -> tuple[Adapter, int]:
    if missing := {"adapter", "seed"} - set(ours):
        raise UsageError(f"{folder}/rankwise.json lacks {sorted(missing)[0]!r}; copy it again.")
    own = Options(ours, f"{folder}/{OURS}")
    seed = own.count("seed", ours["seed"], least=-(2**63), most=2**64)
    if not isinstance(ours["adapter"], dict):
        raise own.wrong("adapter", "an object", ours["adapter"])
    saved = own.text("base_fingerprint")
    if saved and base_fingerprint and saved != base_fingerprint:
        raise UsageError(
            f"{folder} was trained on another base (fingerprint {saved[:12]}, this model has "
            f"{base_fingerprint[:12]}); load the base named in its adapter_config.json."
        )
    try:
        return Adapter.from_dict(ours["adapter"]), seed
    except UsageError as error:  # says what is wrong with an adapter, and not where it stands
        raise UsageError(f"{folder}/{OURS}: {error}") from None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # an option of another type
        raise UsageError(f"{folder}/{OURS}: its adapter cannot be built ({error}); copy it again.") from None


def _check_config(found: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    """Refuse a PEFT config that no longer says what rankwise.json says: which of the two was meant?"""
    for option in ours:
        if found.get(option, False) != ours[option]:
            raise UsageError(
                f"{folder}/adapter_config.json has {option}={found.get(option)!r} but rankwise.json implies "
                f"{ours[option]!r}; if another program changed the adapter, remove rankwise.json to load what "
                "adapter_config.json says."
            )
