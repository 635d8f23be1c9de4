"""rankwise: which low-rank adapter matches full fine-tuning on my model and my data, and at what cost?

    import rankwise as rw
    handle = rw.attach(model, rw.methods.olora(rank=16), seed=0)

Everything is imported on first use, so ``import rankwise`` and ``rankwise --help`` are quick.
"""

from __future__ import annotations

import importlib
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankwise import methods
    from rankwise.adapters import Adapter, Full, Handle, attach, load, mixed, save, switch
    from rankwise.errors import RankwiseError, RunError, UsageError
    from rankwise.report.api import study
    from rankwise.studies.api import train

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here

_HOMES = {
    **dict.fromkeys(("Adapter", "Full", "Handle", "attach", "load", "mixed", "save", "switch"), "rankwise.adapters"),
    **dict.fromkeys(("RankwiseError", "RunError", "UsageError"), "rankwise.errors"),
    "study": "rankwise.report.api",
    "train": "rankwise.studies.api",
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
    from rankwise.errors import checked, no_attribute

    if name not in _HOMES:
        raise no_attribute("rankwise", name, __all__)
    found = getattr(importlib.import_module(_HOMES[name]), name)
    if isinstance(found, types.FunctionType):
        found = globals()[name] = checked(found, f"rankwise.{name}")
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
