"""bitsandbytes, imported in one place: only where four-bit codes are really made or read."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from rankwise.models.quiet import without_kernel_notice


@functools.cache
def functional() -> Any:
    """Import and return ``bitsandbytes.functional``."""
    with without_kernel_notice():
        return importlib.import_module("bitsandbytes.functional")
