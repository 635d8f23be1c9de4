"""Sizes in a model's config that no model has: building its modules would take hours and all the memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError

LAYERS = 2_000  # the deepest published models have some 130
SIZE = 2**28  # of a width, a vocabulary, heads, positions


def check_config_sizes(values: Mapping[str, Any], path: Path | str) -> None:
    """Raise UsageError for a number of layers or a size beyond every model's; parts of the config are looked into."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            check_config_sizes(value, path)
        elif isinstance(value, int) and key.endswith(_LAYERS) and value > LAYERS:
            raise UsageError(f"{path}: {key} is {_shown(value)}; no more than {LAYERS:,} layers are built")
        elif isinstance(value, int) and key.endswith(_SIZES) and value > SIZE:
            raise UsageError(f"{path}: {key} is {_shown(value)}; no more than {SIZE:,} are built")


_LAYERS = ("n_layer", "n_layers", "num_layers", "_layers")
_SIZES = ("_size", "_heads", "n_head", "n_embd", "n_inner", "d_model", "_experts", "_dim", "_positions")


def _shown(value: int) -> str:
    return f"{value:,}" if value < 10**15 else "a number of more than 15 digits"
