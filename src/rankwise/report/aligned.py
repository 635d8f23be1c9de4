"""Rows of text as lines of aligned columns."""

from __future__ import annotations


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines of aligned columns, as wide as they need: a pipe has no width to wrap or cut at."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text + " " * (width - cell_len(text)) if index < 2 else " " * (width - cell_len(text)) + text
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
