"""Channels of a finding's figures: places, colors, shapes and legends of a panel's series."""

from __future__ import annotations

from typing import Any

from rankwise.analysis.finding import Axis, Panel
from rankwise.report.figures.theme import ARMS, SHAPES, Layout
from rankwise.report.ticks import few, log_ticks


def x_axis(panel: Panel) -> Any:
    """Lines are measured at few places, which have the ticks; points may be anywhere."""
    import altair as alt

    values = [float(row[panel.x.field]) for row in (*panel.rows, *panel.path)]
    return _quantity(alt.X, panel.x, values, few(values) if panel.kind == "lines" else None)


def y_axis(panel: Panel) -> Any:
    """Round ticks over all that is drawn, the reference line too."""
    import altair as alt

    values = [float(row[panel.y.field]) for row in (*panel.rows, *panel.path)]
    return _quantity(alt.Y, panel.y, [*values, panel.rule[0]] if panel.rule else values)


def _quantity(channel: Any, axis: Axis, values: list[float], ticks: list[float] | None = None) -> Any:
    import altair as alt

    if ticks is None and axis.log:
        ticks = log_ticks(min(values), max(values))
    at = {"tickCount": 5} if ticks is None else {"values": ticks}
    form = "d" if ticks is not None and all(tick.is_integer() for tick in ticks) else ".4~r"
    scale = alt.Scale(type="log", nice=False, padding=8) if axis.log else alt.Scale(zero=False, nice=False, padding=8)
    drawn = alt.Axis(**at, grid=channel is alt.Y, labelOverlap="greedy", labelSeparation=3, format=form)
    return channel(f"{axis.field}:Q", title=axis.title, scale=scale, axis=drawn)


def domain_of(panel: Panel) -> list[str]:
    """Return the names of the series in order of appearance; none for a panel without series."""
    return list(dict.fromkeys(str(row[panel.series]) for row in panel.rows)) if panel.series else []


def color_of(panel: Panel, layout: Layout) -> dict[str, Any]:
    """Return the color channel; a single series has the first color and no legend."""
    import altair as alt

    if panel.series is None:
        return {"color": alt.value(ARMS[0].light)}
    domain = domain_of(panel)
    scale = alt.Scale(domain=domain, range=palette(domain)[0])
    legend = legend_of(layout) if len(domain) > 1 else None
    return {"color": alt.Color(f"{panel.series}:N", scale=scale, legend=legend)}


def shape_of(panel: Panel, layout: Layout) -> dict[str, Any]:
    """Return the shape channel; none for a single series."""
    import altair as alt

    if panel.series is None:
        return {}
    domain = domain_of(panel)
    scale = alt.Scale(domain=domain, range=palette(domain)[1])
    legend = legend_of(layout) if len(domain) > 1 else None
    return {"shape": alt.Shape(f"{panel.series}:N", scale=scale, legend=legend)}


def palette(domain: list[str]) -> tuple[list[str], list[str]]:
    """Return the color and the shape of every series."""
    count = range(len(domain))
    return [ARMS[k % len(ARMS)].light for k in count], [SHAPES[k % len(SHAPES)] for k in count]


def legend_of(layout: Layout, **symbols: Any) -> Any:
    """Return the legend below a panel; ``symbols`` are Vega-Lite's options for what it shows."""
    import altair as alt

    columns = layout.legend_columns // 2 or 1
    return alt.Legend(title=None, orient="bottom", columns=columns, labelLimit=layout.label_limit, **symbols)
