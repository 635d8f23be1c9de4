"""The files of an adapter folder, read defensively: one sentence when one is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rankwise.errors import UsageError

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
OURS, START = "rankwise.json", "rankwise_start.safetensors"


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
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged or truncated ({error}); copy it again.") from error


def read_json(path: Path, *, hint: str = "") -> dict[str, Any]:
    """Read a JSON object; ``hint`` ends the message when the file does not exist.

    Raises:
        UsageError: it is missing or not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; an adapter folder holds {path.name}.{hint}") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} is not readable JSON ({error}).") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} does not hold a JSON object.")
    return value


def listed(names: list[str], most: int = 6) -> str:
    """Join names for a message; past ``most`` the rest is counted."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
