"""What other packages log that says nothing to a user of ours."""

from __future__ import annotations

import logging

_LOG = "bitsandbytes.backends.cpu.ops"


def hide_missing_kernel() -> bool:
    """Drop bitsandbytes' record that an optional kernel of the hub is missing; return whether it was shown before.

    On a CPU with bfloat16 instructions importing bitsandbytes logs it, and transformers imports that on the way to a
    learning-rate schedule. The kernel (a four-bit matrix times a vector) is one that nothing here calls.
    """
    log = logging.getLogger(_LOG)
    shown = _is_not_the_kernel not in log.filters
    log.addFilter(_is_not_the_kernel)
    return shown


def show_missing_kernel() -> None:
    """Undo :func:`hide_missing_kernel`."""
    logging.getLogger(_LOG).removeFilter(_is_not_the_kernel)


def _is_not_the_kernel(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg)
