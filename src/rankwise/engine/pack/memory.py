"""Recognizes that memory did not suffice, whatever the device calls it."""

from __future__ import annotations

import torch


def out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory did not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory")
    )
