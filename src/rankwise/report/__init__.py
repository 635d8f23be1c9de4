"""Turns one study document into something a person reads: `report.html`, `figures/*.png`, a terminal table.

Importing this package is cheap: altair, vl-convert, jinja2 and rich are imported inside the functions that need them.
"""

from rankwise.report.page import write_report
from rankwise.report.terminal import render_table

__all__ = ["render_table", "write_report"]
