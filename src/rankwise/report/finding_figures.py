"""Draws the panels of a finding in the house style: lines, points, bars and heat maps from plain rows."""

from __future__ import annotations

from typing import Any

from rankwise.analysis.finding import Axis, Panel
from rankwise.report.figures.base import data, edge_label
from rankwise.report.figures.theme import ARMS, DASHES, INK, MUTED, PAPER, Layout
from rankwise.report.finding_channels import color_of, domain_of, legend_of, palette, shape_of, x_axis, y_axis

HEAT = [PAPER.light, ARMS[0].light]
MANY = 14  # more lines than this are thinner, without marks
MARKED = 100  # points; more of them would hide their line
WIDTHS = (3.4, 1.6)  # px, of the first of several lines and of the last
SIZES = (95.0, 35.0)  # px squared, of their marks


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
    own = {"color": "independent", "shape": "independent", "strokeDash": "independent", "strokeWidth": "independent"}
    return chart.resolve_scale(**own).resolve_legend(**own)


def _panel(panel: Panel, width: int, layout: Layout) -> Any:
    import altair as alt

    layers = {"lines": _lines, "points": _points, "bars": _bars, "heat": _heat}[panel.kind](panel, layout)
    if panel.rule is not None:
        y, text = panel.rule
        rule = alt.Chart(data([{panel.y.field: y}])).mark_rule(strokeDash=[4, 4], color=MUTED.light)
        layers.append(rule.encode(y=y_axis(panel)))
        side: dict[str, Any] = {"x": alt.value("width"), "align": "right", "dx": -2}
        if _freer_on_the_left(panel, y):
            side = {"x": alt.value(0), "align": "left", "dx": 4}
        layers.append(edge_label(text, y=alt.datum(y), dy=-8, **side))
    return alt.layer(*layers).properties(title=panel.title, width=width, height=layout.height)


def _freer_on_the_left(panel: Panel, y: float) -> bool:
    """Whether what is drawn at the left edge keeps a greater distance from the reference line at ``y``."""
    if panel.kind not in ("lines", "points"):
        return False
    xs = [float(row[panel.x.field]) for row in panel.rows]
    left, right = (
        min(abs(float(row[panel.y.field]) - y) for row, x in zip(panel.rows, xs, strict=True) if x == edge)
        for edge in (min(xs), max(xs))
    )
    return left > right


def _lines(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    x, y = x_axis(panel), y_axis(panel)
    domain = domain_of(panel)
    chart = alt.Chart(data(list(panel.rows)))
    if len(domain) > MANY:
        return [
            chart.mark_line(strokeWidth=1.5, strokeJoin="round", aria=False).encode(x=x, y=y, **color_of(panel, layout))
        ]
    if len(domain) > 1:
        return _several(panel, layout)
    color = color_of(panel, layout)
    layers = [chart.mark_line(strokeWidth=2.0, strokeJoin="round", aria=False).encode(x=x, y=y, **color)]
    if len(panel.rows) <= MARKED:
        layers.append(chart.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, **color))
    return layers


def _several(panel: Panel, layout: Layout) -> list[Any]:
    """Draw series that stay visible where they coincide.

    Later ones lie on top: they are dashed and thinner, with smaller marks, and so leave a rim of what is below. The
    legend shows the lines.
    """
    import altair as alt

    def even(first: float, last: float) -> list[float]:
        return [first + (last - first) * k / (len(domain) - 1) for k in range(len(domain))]

    domain, field = domain_of(panel), f"{panel.series}:N"
    legend = legend_of(layout, symbolType="stroke", symbolSize=500)
    colors, shapes = palette(domain)
    looks = {
        "color": alt.Color(field, scale=alt.Scale(domain=domain, range=colors), legend=legend),
        "strokeDash": alt.StrokeDash(
            field,
            scale=alt.Scale(domain=domain, range=[DASHES[k % len(DASHES)] for k in range(len(domain))]),
            legend=legend,
        ),
        "strokeWidth": alt.StrokeWidth(field, scale=alt.Scale(domain=domain, range=even(*WIDTHS)), legend=legend),
    }
    x, y = x_axis(panel), y_axis(panel)
    line = alt.Chart(data(list(panel.rows))).mark_line(strokeJoin="round", aria=False)
    layers = [line.encode(x=x, y=y, **looks)]
    if len(panel.rows) > MARKED:
        return layers
    for name, color, shape, size in zip(domain, colors, shapes, even(*SIZES), strict=True):
        rows = [row for row in panel.rows if str(row[panel.series or ""]) == name]
        point = alt.Chart(data(rows)).mark_point(filled=True, opacity=1, color=color, shape=shape, size=size)
        layers.append(point.encode(x=x, y=y))
    return layers


def _points(panel: Panel, layout: Layout) -> list[Any]:
    import altair as alt

    x, y = x_axis(panel), y_axis(panel)
    chart = alt.Chart(data(list(panel.rows))).mark_point(filled=True, size=70, opacity=0.9)
    layers = [chart.encode(x=x, y=y, **color_of(panel, layout), **shape_of(panel, layout))]
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
    grouped = panel.series is not None and len(panel.rows) > len(names)  # else a series is a color only
    offset = {"xOffset": alt.XOffset(f"{panel.series}:N", sort=domain_of(panel))} if grouped else {}
    return [alt.Chart(data(list(panel.rows))).mark_bar().encode(x=x, y=y, **color_of(panel, layout), **offset)]


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
