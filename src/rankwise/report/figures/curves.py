"""NLL curves of arms, as lines and marks: what every figure with training on its x axis shares."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Styles, data, edge_label, line_width, padded
from rankwise.report.figures.theme import MUTED
from rankwise.report.view import Arm
from rankwise.report.wording import finite, nll

Curve = list[tuple[float, float]]  # (step, NLL)
NLL_TITLE = "selection NLL, nats per token"


def points(curve: list[Any], base: float | None) -> Curve:
    """Finite points of a curve with the untouched model in front as step 0; empty when there is none."""
    found = [(float(step), float(value)) for step, value in curve if finite(value)]
    if found and finite(base) and found[0][0] > 0:
        found.insert(0, (0.0, float(base)))  # type: ignore[arg-type]
    return found


def nll_domain(values: list[float], base: float | None) -> list[float]:
    """The NLL axis: it leaves the untouched model above the frame when including it would flatten the curves."""
    if not finite(base) or base is None:
        return padded(min(values), max(values))
    # A curve above the untouched model has gone wrong; it is cut, or it would flatten all the others.
    low, high = min(values), max([value for value in values if value <= base] or [base])
    return padded(min(low, high), base if base - low < 1.25 * (high - low) else high)


def nll_axis(domain: list[float], *, title: bool = True) -> Any:
    """The y channel of NLL over ``domain``."""
    import altair as alt

    scale = alt.Scale(domain=domain, nice=False, zero=False)
    return alt.Y("nll:Q", title=NLL_TITLE if title else None, scale=scale, axis=alt.Axis(grid=True))


def end_axis(values: list[float]) -> Any:
    """The y channel of NLL at the last step, on a scale of its own: on the curves' axis it would be a thin strip."""
    import altair as alt

    scale = alt.Scale(domain=padded(min(values), max(values), 0.15), nice=False, zero=False)
    return alt.Y("nll:Q", title="selection NLL at the last step", scale=scale, axis=alt.Axis(grid=True, tickCount=8))


def untouched(base: float | None, domain: list[float], y: Any) -> list[Any]:
    """Where the untouched model lies: a dashed line, or a note at the top edge when it is above the frame."""
    import altair as alt

    if not finite(base) or base is None:
        return []
    place = {"x": alt.value("width"), "align": "right", "dx": -2}
    if base > domain[1]:
        return [edge_label(f"↑ untouched model {nll(base)}", y=alt.datum(domain[1]), dy=8, **place)]
    rule = alt.Chart(data([{"nll": base}])).mark_rule(strokeDash=[4, 4], color=MUTED.light).encode(y=y)
    return [rule, edge_label(f"untouched model {nll(base)}", y=alt.datum(base), dy=-8, **place)]


def curve_layers(
    arms: list[Arm], curves: dict[str, Curve], style: Styles, y: Any, channels: tuple[Any, Any], last: float
) -> list[Any]:
    """Lines and marks of ``curves`` (by arm name) against the training step, the reference beneath the others."""
    return axis_layers(arms, curves, style, y, channels, field="step", title="training step", last=last)


def axis_layers(
    arms: list[Arm],
    curves: dict[str, Curve],
    style: Styles,
    y: Any,
    channels: tuple[Any, Any],
    *,
    field: str,
    title: str,
    last: float,
) -> list[Any]:
    """As :func:`curve_layers`, on an x axis of one's own: ``field`` names it in the tooltips, ``title`` below it."""
    import altair as alt

    x = alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(domain=[0, last * 1.02], nice=False, zero=False),
        axis=alt.Axis(tickMinStep=1, tickCount=6, grid=False),
    )
    color, shape = channels
    layers = []
    for arm in sorted(arms, key=lambda arm: not arm["reference"]):
        label = style.label[arm["name"]]
        rows: list[dict[str, Any]] = [
            {field: at, "nll": value, "arm": label, "note": f"{label}, {field} {at:g}: NLL {nll(value)}"}
            for at, value in curves.get(arm["name"], [])
        ]
        if not rows:
            continue
        lines = alt.Chart(data(rows)).mark_line(
            strokeWidth=line_width(arm, style),
            strokeDash=style.dash[arm["name"]],
            clip=True,
            strokeJoin="round",
            aria=False,
        )
        dots = alt.Chart(data([row for row in rows if row[field] > 0] or rows)).mark_point(
            filled=True, size=55, opacity=1, clip=True
        )
        layers.append(lines.encode(x=x, y=y, color=color))
        layers.append(dots.encode(x=x, y=y, color=color, shape=shape, description="note:N"))
    return layers
