"""Turns one study document into something a person reads: `report.html`, `figures/*.png`, a terminal table.

Importing this package is cheap: altair, vl-convert, jinja2 and rich are imported inside the functions that need them.
"""

from rankwise.report.other import render_table, write_report

__all__ = ["render_table", "write_report"]
