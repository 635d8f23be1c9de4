"""Turns one study document into something a person reads: `report.html`, `figures/*.png`, a terminal table.

Importing this package is cheap: what draws and fills in pages is imported when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankwise.report.kinds import render_table, write_report

__all__ = ["render_table", "write_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("rankwise.report.kinds"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


PUBLIC = (
    "api",
    "clean",
    "comparison",
    "findings",
    "next_step",
    "wording",
)
"""Modules that other rooms import."""
