"""rankwise: which low-rank adapter matches full fine-tuning on my model and my data, and at what cost?

    import rankwise as rw
    handle = rw.attach(model, rw.methods.olora(rank=16), seed=0)

Everything is imported on first use, so ``import rankwise`` and ``rankwise --help`` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankwise import methods
    from rankwise.adapters import Adapter, Full, Handle, attach, load, mixed, save, switch
    from rankwise.errors import RankwiseError, RunError, UsageError
    from rankwise.studies.api import study, train

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("Adapter", "Full", "Handle", "attach", "load", "mixed", "save", "switch"), "rankwise.adapters"),
    **dict.fromkeys(("RankwiseError", "RunError", "UsageError"), "rankwise.errors"),
    **dict.fromkeys(("study", "train"), "rankwise.studies.api"),
}

__all__ = [
    "Adapter",
    "Full",
    "Handle",
    "RankwiseError",
    "RunError",
    "UsageError",
    "attach",
    "load",
    "methods",
    "mixed",
    "save",
    "study",
    "switch",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "methods":
        return importlib.import_module("rankwise.methods")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rankwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
