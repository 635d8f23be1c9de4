"""Turns one study document into something a person reads: `report.html`, `figures/*.png`, a terminal table.

Importing this package is cheap: altair, vl-convert, jinja2 and rich are imported inside the functions that need them.
"""

from rankwise.report.kinds import render_table, write_report

__all__ = ["render_table", "write_report"]

PUBLIC = (
    "api",
    "clean",
    "comparison",
    "findings",
    "next_step",
    "wording",
)
"""Modules that other rooms import."""
