"""Figures as a page holds them: SVG for two widths, and a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankwise.files import replacing
from rankwise.report.figures.base import Figure


@dataclass(frozen=True)
class Picture:
    """A rendered figure: inline SVG for laptop and for phone, and the path of its PNG relative to the page."""

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    png: str


def draw_figures(drawn: Sequence[Figure], folder: Path) -> list[Picture]:
    """Render figures, write their PNGs into ``folder/figures`` and remove those of an earlier report."""
    from rankwise.report.figures.theme import NARROW, WIDE
    from rankwise.report.svg import draw, inline, png

    pictures = []
    for figure in drawn:
        wide, narrow = draw(figure.chart(WIDE)), draw(figure.chart(NARROW))
        path = f"figures/{figure.name}.png"
        with replacing(folder / path) as temporary:
            temporary.write_bytes(png(wide))
        pictures.append(
            Picture(
                name=figure.name,
                title=figure.title,
                caption=figure.caption,
                wide=inline(wide, prefix=f"{figure.name}-wide", label=figure.title),
                narrow=inline(narrow, prefix=f"{figure.name}-narrow", label=figure.title),
                png=path,
            )
        )
    for stale in set((folder / "figures").glob("*.png")) - {folder / picture.png for picture in pictures}:
        stale.unlink()
    return pictures
