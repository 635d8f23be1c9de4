"""bitsandbytes, imported in one place: only where four-bit codes are really made or read.

On a CPU with bfloat16 instructions, importing it logs that an optional kernel of the hub is missing (a four-bit matrix
times a vector), which nothing here calls. That one record is dropped; any other is shown.
"""

from __future__ import annotations

import functools
import importlib
import logging
from typing import Any


@functools.cache
def functional() -> Any:
    """Import and return ``bitsandbytes.functional``."""
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    log.addFilter(_is_not_the_kernel)
    try:
        return importlib.import_module("bitsandbytes.functional")
    finally:
        log.removeFilter(_is_not_the_kernel)


def _is_not_the_kernel(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg)
