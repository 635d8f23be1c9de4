"""The files of an adapter folder, read defensively: one sentence when one is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.slot import Slot
from rankwise.digests import SUMS, DamagedError, check_file, check_sums, states_digest
from rankwise.errors import UsageError
from rankwise.reading import read_object
from rankwise.reading.tensors import read_tensors as tensors_of

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
OURS, START = "rankwise.json", "rankwise_start.safetensors"
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, never a pickle.

    Raises:
        UsageError: it is missing, damaged or truncated, or there is only a pickle.
    """
    if not path.exists():
        if path.with_suffix(".bin").exists():
            raise UsageError(f"{path.parent} holds a pickle (.bin), which is never opened; convert it to safetensors.")
        raise UsageError(f"{path} does not exist; an adapter folder holds {CONFIG} and {path.name}.")
    try:
        check_file(path)
    except (DamagedError, OSError) as error:
        raise UsageError(f"{path} is damaged or truncated ({error}); copy it again.") from error
    return tensors_of(path)


def check_folder(folder: Path) -> None:
    """Hold an adapter's small files against their sums, as long as its tensors are those that we wrote.

    Raises:
        UsageError: one is not what was written.
    """
    if not states_digest(folder / TENSORS):
        return  # another program saved the tensors again, and wrote its own config beside them
    try:
        check_sums(folder)
    except DamagedError as error:
        raise UsageError(
            f"{folder}: {error}; copy the adapter again, or, if it was changed on purpose, remove {SUMS}."
        ) from error


def read_json(path: Path, *, hint: str = "") -> dict[str, Any]:
    """Read a JSON object; ``hint`` ends the message when the file does not exist.

    Raises:
        UsageError: it is missing or not a JSON object.
    """
    try:
        return read_object(path, expected="a JSON object", cure="copy the adapter again")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; an adapter folder holds {path.name}.{hint}") from None


def listed(names: list[str], most: int = 6) -> str:
    """Join names for a message; past ``most`` the rest is counted."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def check_tensors(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], folder: Path) -> list[str]:
    """Check names, shapes and values of a file; return the names that were not ``expected``.

    Raises:
        UsageError: tensors are missing (they are listed), of another shape, or not finite.
    """
    if missing := [name for name in expected if name not in tensors]:
        raise UsageError(f"{folder} lacks {len(missing)} tensors of this model: {listed(missing)}. Another base?")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise UsageError(f"{name} in {folder} is {tuple(tensors[name].shape)}, this model needs {tuple(shape)}.")
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
            raise UsageError(f"{name} in {folder} is {kind}; an adapter's tensors are {known}: convert it first.")
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{name} in {folder} holds NaN or infinity; the file is damaged or training diverged.")
    return sorted(set(tensors) - set(expected))


def check_reach(slots: Mapping[str, Slot], folder: Path) -> None:
    """Raise when a scale and two factors may give an update that float32 does not hold: every sum with it is NaN."""
    for path, slot in slots.items():
        if not {"A", "B"} <= slot.factors.keys():
            continue
        largest = [float(slot.factors[name].detach().abs().max()) for name in "AB"]
        reach = abs(slot.scaling) * largest[0] * largest[1] * slot.rank
        if not reach <= torch.finfo(torch.float32).max:
            raise UsageError(
                f"{folder}: the update of {path} may reach {reach:.0e}, more than float32 holds (scale "
                f"{slot.scaling:g}, factors up to {max(largest):.0e}); its scale or its tensors are damaged, or its "
                "training diverged."
            )


def place_and_dtype(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a layer's factors live, and their dtype: float32, or float64 beside a float64 weight.

    Factors beside a weight without storage (the meta device) are on the CPU.
    """
    weight = orientation.sample(module)
    device = torch.device("cpu") if weight.device.type == "meta" else weight.device
    return device, torch.float64 if weight.dtype == torch.float64 else torch.float32
