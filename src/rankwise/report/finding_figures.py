"""Draws the panels of a finding in the house style: lines, points, bars and heat maps from plain rows."""

from __future__ import annotations

from typing import Any

from rankwise.analysis.finding import Axis, Panel
from rankwise.report.figures.base import data, edge_label
from rankwise.report.figures.theme import ARMS, INK, MUTED, PAPER, SHAPES, Layout

HEAT = [PAPER.light, ARMS[0].light]
MANY = 14  # more lines than this are thinner, without marks
MARKED = 100  # points; more of them would hide their line


def draw_finding(panels: tuple[Panel, ...], layout: Layout) -> Any:
    """Return one chart with all panels, side by side where there is room."""
    import altair as alt

    drawn = [panel for panel in panels if panel.rows]
    if not drawn:
        nothing = alt.Chart(data([{"text": "nothing to draw: see the text"}])).mark_text(color=MUTED.light)
        return nothing.encode(text="text:N").properties(width=layout.width, height=layout.height)
    columns = 1 if layout.stacked else min(len(drawn), 2)
    width = layout.width if columns == 1 else (layout.width - 150) // columns
    charts = [_panel(panel, width, layout) for panel in drawn]
    rows = [charts[k : k + columns] for k in range(0, len(charts), columns)]
    return _apart(alt.vconcat(*(_apart(alt.hconcat(*row)) for row in rows)))


def _apart(chart: Any) -> Any:
    """Give every panel its own colors and its own legend."""
    own = {"color": "independent", "shape": "independent"}
    return chart.resolve_scale(**own).resolve_legend(**own)


def _panel(panel: Panel, width: int, layout: Layout) -> Any:
    import altair as alt

    layers = {"lines": _lines, "points": _points, "bars": _bars, "heat": _heat}[panel.kind](panel, layout)
    if panel.rule is not None:
        y, text = panel.rule
        rule = alt.Chart(data([{panel.y.field: y}])).mark_rule(strokeDash=[4, 4], color=MUTED.light)
        layers.append(rule.encode(y=_quantity(alt.Y, panel.y)))
        layers.append(edge_label(text, x=alt.value("width"), y=alt.datum(y), align="right", dx=-2, dy=-8))
    return alt.layer(*layers).properties(title=panel.title, width=width, height=layout.height)


def _lines(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    x, y = _quantity(alt.X, panel.x), _quantity(alt.Y, panel.y)
    series = _series(panel, layout)
    many = len(_domain(panel)) > MANY
    chart = alt.Chart(data(list(panel.rows)))
    layers = [
        chart.mark_line(strokeWidth=1.5 if many else 2.0, strokeJoin="round", aria=False).encode(x=x, y=y, **series[0])
    ]
    if len(panel.rows) <= MARKED and not many:
        layers.append(chart.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, **series[0], **series[1]))
    return layers


def _points(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    color, shape = _series(panel, layout)
    x, y = _quantity(alt.X, panel.x), _quantity(alt.Y, panel.y)
    chart = alt.Chart(data(list(panel.rows))).mark_point(filled=True, size=70, opacity=0.9)
    layers = [chart.encode(x=x, y=y, **color, **shape)]
    if len(panel.path) > 1:
        places = [{**row, "place": k} for k, row in enumerate(panel.path)]
        line = alt.Chart(data(places)).mark_line(strokeWidth=1.5, strokeDash=[2, 3], color=MUTED.light, aria=False)
        layers.insert(0, line.encode(x=x, y=y, order=alt.Order("place:Q")))
    return layers


def _bars(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    names = list(dict.fromkeys(str(row[panel.x.field]) for row in panel.rows))
    axis = alt.Axis(labelAngle=-30 if len(names) > 2 else 0, labelLimit=layout.label_limit, grid=False)
    x = alt.X(f"{panel.x.field}:N", title=panel.x.title or None, sort=names, axis=axis)
    y = alt.Y(f"{panel.y.field}:Q", title=panel.y.title, scale=alt.Scale(zero=True))
    color, _ = _series(panel, layout)
    grouped = panel.series is not None and len(panel.rows) > len(names)  # else a series is a color only
    offset = {"xOffset": alt.XOffset(f"{panel.series}:N", sort=_domain(panel))} if grouped else {}
    return [alt.Chart(data(list(panel.rows))).mark_bar().encode(x=x, y=y, **color, **offset)]


def _heat(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    def names(axis: Axis) -> list[str]:
        return list(dict.fromkeys(str(row[axis.field]) for row in panel.rows))

    plain = alt.Axis(grid=False, labelAngle=0)
    x = alt.X(f"{panel.x.field}:O", title=panel.x.title, sort=names(panel.x), axis=plain)
    y = alt.Y(f"{panel.y.field}:O", title=panel.y.title, sort=names(panel.y), axis=plain)
    shade = alt.Color(f"{panel.value}:Q", scale=alt.Scale(domain=[0, 1], range=HEAT), legend=None)
    rows = [{**row, "text": f"{row[panel.value or '']:.2f}"} for row in panel.rows]
    chart = alt.Chart(data(rows)).encode(x=x, y=y)
    label = alt.condition(f"datum['{panel.value}'] > 0.6", alt.value(PAPER.light), alt.value(INK.light))
    return [chart.mark_rect().encode(color=shade), chart.mark_text().encode(text="text:N", color=label)]


def _quantity(channel: Any, axis: Axis) -> Any:
    import altair as alt

    scale = alt.Scale(type="log", nice=False, padding=8) if axis.log else alt.Scale(zero=False, nice=False, padding=8)
    ticks = alt.Axis(tickCount=5, grid=channel is alt.Y, labelOverlap=True, format=".4~r")
    return channel(f"{axis.field}:Q", title=axis.title, scale=scale, axis=ticks)


def _domain(panel: Panel) -> list[str]:
    return list(dict.fromkeys(str(row[panel.series]) for row in panel.rows)) if panel.series else []


def _series(panel: Panel, layout: Layout) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the color and the shape channel; a single series has the first color and no legend."""
    import altair as alt

    if panel.series is None:
        return {"color": alt.value(ARMS[0].light)}, {}
    domain = _domain(panel)
    key = alt.Legend(
        title=None, orient="bottom", columns=layout.legend_columns // 2 or 1, labelLimit=layout.label_limit
    )
    colors = [ARMS[k % len(ARMS)].light for k in range(len(domain))]
    shapes = [SHAPES[k % len(SHAPES)] for k in range(len(domain))]
    legend = key if len(domain) > 1 else None
    return (
        {"color": alt.Color(f"{panel.series}:N", scale=alt.Scale(domain=domain, range=colors), legend=legend)},
        {"shape": alt.Shape(f"{panel.series}:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend)},
    )
