"""Colors, marks and type of every figure.

Figures are drawn once, in the light colors. In dark mode CSS swaps each literal color of the inline SVG for its
dark partner, so every color used in a figure must come from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shade:
    """One color in light mode (also in the PNG) and its partner in dark mode."""

    light: str
    dark: str


INK = Shade("#1b1f24", "#e8ebee")
MUTED = Shade("#5d6670", "#9ba5b0")
GRID = Shade("#e4e7eb", "#2b323a")
PAPER = Shade("#fefefe", "#161b21")
ALARM = Shade("#b42318", "#ff8a7e")

# Seven hues that stay apart under the common color blindnesses in both modes; shapes repeat with another period,
# so that 42 arms have distinct marks.
ARMS = (
    Shade("#0b62c4", "#6cb0ff"),
    Shade("#c2570c", "#ff9d5c"),
    Shade("#15803d", "#56d17e"),
    Shade("#7c3aed", "#b69cff"),
    Shade("#be185d", "#ff7eb6"),
    Shade("#0e7490", "#4fd0e7"),
    Shade("#927006", "#e3c04c"),
)
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
SOLID = [1, 0]
DASHES = (SOLID, [7, 3], [2, 3], [9, 3, 2, 3])  # px drawn and left out, from the most to the least continuous
# The first one is ours (report/fonts) and on no machine, so that no machine's fonts decide widths or pixels, as long as
# figures keep to the glyphs it has: Latin with Vietnamese, Greek, arrows, signs; no check marks. The page overrides it.
FONT = "Rankwise Figure, Liberation Sans, Arial, sans-serif"
CROSS_OUT = "M-1,-1L1,1M1,-1L-1,1"  # an x: Vega's own "cross" is a plus

SHADES = (INK, MUTED, GRID, PAPER, ALARM, *ARMS)


@dataclass(frozen=True)
class Layout:
    """Sizes in px of one rendering: `wide` for laptops and PNG, `narrow` for phones, drawn anew, not shrunk."""

    name: str
    width: int
    height: int
    stacked: bool
    legend_columns: int
    label_limit: int


WIDE = Layout("wide", width=960, height=330, stacked=False, legend_columns=4, label_limit=220)
NARROW = Layout("narrow", width=262, height=250, stacked=True, legend_columns=2, label_limit=230)


def config() -> dict[str, Any]:
    """The Vega-Lite config shared by all figures."""
    return {
        "background": PAPER.light,
        "font": FONT,
        "padding": 6,
        "view": {"stroke": None},
        "axis": {
            "domainColor": MUTED.light,
            "tickColor": MUTED.light,
            "gridColor": GRID.light,
            "labelColor": INK.light,
            "titleColor": MUTED.light,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
        },
        "legend": {
            "labelColor": INK.light,
            "labelFontSize": 12,
            "symbolSize": 90,
            "columnPadding": 34,
            "rowPadding": 5,
            "offset": 12,
            "titleColor": MUTED.light,
        },
        "title": {"color": INK.light, "fontSize": 13, "anchor": "start", "subtitleColor": MUTED.light},
        "text": {"fontSize": 12, "color": MUTED.light},
    }


def dark_rules(scope: str) -> str:
    """CSS rules that give every figure color under ``scope`` its dark partner."""
    rules = []
    for shade in SHADES:
        rules += [f'{scope} [{prop}="{shade.light}"]{{{prop}:{shade.dark}}}' for prop in ("fill", "stroke")]
    return "\n".join(rules)
