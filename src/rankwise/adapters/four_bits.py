"""bitsandbytes, imported in one place: only where four-bit codes are really made or read.

Importing it may log that a kernel is missing which nothing here calls (``noise.py``). That one record is dropped; any
other is shown.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from rankwise.noise import hide_missing_kernel, show_missing_kernel


@functools.cache
def functional() -> Any:
    """Import and return ``bitsandbytes.functional``."""
    ours = hide_missing_kernel()
    try:
        return importlib.import_module("bitsandbytes.functional")
    finally:
        if ours:
            show_missing_kernel()
