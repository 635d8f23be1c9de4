"""What a figure is, and the pieces figures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rankwise.report.figures.theme import ARMS, DASHES, INK, PAPER, SHAPES, SOLID, Layout
from rankwise.report.view import Arm, batch_families, labels


@dataclass(frozen=True)
class Figure:
    """A figure ready to be rendered.

    Attributes:
        name: file stem of the PNG and id in the page.
        title: what is drawn against what.
        caption: in plain words, what to look at.
        chart: layout -> Vega-Lite chart, called once per layout.
    """

    name: str
    title: str
    caption: str
    chart: Callable[[Layout], Any]


@dataclass(frozen=True)
class Styles:
    """Which color, mark and dash belongs to which arm, the same in every figure of a page."""

    label: dict[str, str]
    color: dict[str, str]
    shape: dict[str, str]
    dash: dict[str, list[int]]

    def encode(self, arms: list[Arm], layout: Layout, *, legend: bool = True) -> tuple[Any, Any]:
        """Color and shape channels of the field ``arm`` (a label), restricted to ``arms`` so legends stay short."""
        import altair as alt

        names = [arm["name"] for arm in arms]
        domain = [self.label[name] for name in names]
        long = layout.stacked and max(map(len, domain), default=0) > 16
        key = alt.Legend(
            title=None,
            orient="bottom",
            columns=1 if long else layout.legend_columns,
            labelLimit=layout.label_limit,
            symbolOpacity=1,
        )
        color = alt.Color(
            "arm:N",
            scale=alt.Scale(domain=domain, range=[self.color[name] for name in names]),
            legend=key if legend else None,
        )
        shape = alt.Shape(
            "arm:N",
            scale=alt.Scale(domain=domain, range=[self.shape[name] for name in names]),
            legend=key if legend else None,
        )
        return color, shape


def styles(arms: list[Arm]) -> Styles:
    """Ink and a diamond for the reference; the palette, in order, for the others.

    Arms that differ in batch size alone share a color; their batch decides mark and dash, solid for the largest.
    """
    color: dict[str, str] = {}
    shape: dict[str, str] = {}
    dash = {arm["name"]: SOLID for arm in arms}
    families = batch_families(arms)
    batches = sorted({arm["batch"] for family in families for arm in family})
    kin = {arm["name"]: family for family in families for arm in family}
    others = 0
    for arm in arms:
        name = arm["name"]
        if name not in color:
            family = kin.get(name, [arm])
            inked = any(member["reference"] for member in family)
            for member in family:
                color[member["name"]] = INK.light if inked else ARMS[others % len(ARMS)].light
                shape[member["name"]] = "diamond" if inked else SHAPES[others % len(SHAPES)]
            others += not inked
        if name in kin:
            place = batches.index(arm["batch"])
            shape[name] = SHAPES[place % len(SHAPES)]
            dash[name] = DASHES[(len(batches) - 1 - place) % len(DASHES)]
    return Styles(label=labels(arms), color=color, shape=shape, dash=dash)


def data(rows: list[dict[str, Any]]) -> Any:
    """Inline rows as altair data (no data frame library involved)."""
    import altair as alt

    return alt.Data(values=rows)


def padded(low: float, high: float, share: float = 0.06) -> list[float]:
    """An axis domain with room on both sides; never empty."""
    room = (high - low) * share or max(abs(high), 1.0) * share
    return [low - room, high + room]


def edge_label(text: str, *, x: Any, y: Any, **mark: Any) -> Any:
    """One line of text at a place in data or pixel coordinates."""
    import altair as alt

    return alt.Chart(data([{"text": text}])).mark_text(**mark).encode(text="text:N", x=x, y=y)


def haloed(text: str, *, x: Any, y: Any, **mark: Any) -> list[Any]:
    """As :func:`edge_label`, readable where lines pass behind it."""
    return [edge_label(text, x=x, y=y, stroke=PAPER.light, strokeWidth=5, **mark), edge_label(text, x=x, y=y, **mark)]


def line_width(arm: Arm, style: Styles) -> float:
    """The reference is drawn thick and under the others; less so beside kin of its color, which dashes tell apart."""
    if not arm["reference"]:
        return 2.0
    alike = list(style.color.values()).count(style.color[arm["name"]])
    return 5.0 if alike == 1 else 3.5
