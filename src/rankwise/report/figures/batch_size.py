"""The same arms at several batch sizes: against steps, against examples seen, and where they end."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Figure, Styles, data, haloed, line_width, styles
from rankwise.report.figures.curves import (
    Curve,
    axis_layers,
    curve_layers,
    end_axis,
    nll_axis,
    nll_domain,
    points,
    untouched,
)
from rankwise.report.figures.theme import MUTED, Layout
from rankwise.report.view import Arm, Document, batch_families, family_label
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import nll

STEPS_TITLE, EXAMPLES_TITLE, END_TITLE = "Equal steps", "Equal examples", "At the last step"


def batch_size_figure(document: Document) -> Figure | None:
    """Best-of-sweep NLL per batch size, or None when no recipe has finite curves at two batch sizes."""
    arms = arms_of(document)
    base = document["results"]["base"]["selection_nll"]
    style = styles(arms)
    curves = {arm["name"]: points(arm["best_of_sweep"], base) for arm in arms}
    families = [[arm for arm in family if curves[arm["name"]]] for family in batch_families(arms)]
    families = [family for family in families if len(family) > 1]
    if not families:
        return None
    drawn = [arm for family in families for arm in family]
    seen = {a["name"]: [(step * a["batch"], value) for step, value in curves[a["name"]]] for a in drawn}
    every = [point for arm in drawn for point in curves[arm["name"]]]
    domain = nll_domain([value for step, value in every if step > 0], base)
    shared = min(seen[arm["name"]][-1][0] for arm in drawn)

    def chart(layout: Layout) -> Any:
        import altair as alt

        width = layout.width if layout.stacked else (layout.width - 90) // 3
        channels = style.encode(drawn, layout)

        def panel(title: str, layers: list[Any]) -> Any:
            return alt.layer(*layers).properties(title=title, width=width, height=layout.height)

        first, second = nll_axis(domain), nll_axis(domain, title=layout.stacked)
        last, most = max(step for step, _ in every), max(curve[-1][0] for curve in seen.values())
        examples = axis_layers(
            drawn, seen, style, second, channels, field="examples", title="examples seen (step × batch)", last=most
        )
        reached = alt.Chart(data([{"examples": shared}])).mark_rule(strokeDash=[5, 4], color=MUTED.light)
        # In the corner that falling curves leave free; beside the line it would stand on them.
        note = haloed(f"dashed: all reach {shared:g}", x=alt.value("width"), y=alt.value(8), align="right", dx=-2)
        panels = [
            panel(
                STEPS_TITLE,
                [*untouched(base, domain, first), *curve_layers(drawn, curves, style, first, channels, last)],
            ),
            panel(EXAMPLES_TITLE, [reached.encode(x="examples:Q"), *examples, *note]),
            panel(END_TITLE, _ends(families, curves, style, channels)),
        ]
        return alt.vconcat(*panels) if layout.stacked else alt.hconcat(*panels)

    small, large = min(arm["batch"] for arm in drawn), max(arm["batch"] for arm in drawn)
    caption = (
        f"Lower is better. One color is one recipe; the more continuous its line, the larger its batch. “{STEPS_TITLE}”"
        f" is not a fair race: at the same step, batch {large} has seen {large / small:.3g} times the examples of batch"
        f" {small}, so its lower loss may be nothing but more data. “{EXAMPLES_TITLE}” draws the same curves against"
        f" examples seen; compare them up to the dashed line, which every batch size reaches. “{END_TITLE}” shows where"
        f" the first panel ends, and so carries the same confound; within one batch size it is fair, so look"
        f" at whether the gap between the colors grows with the batch.{_gaps(families, curves)} All curves are best of"
        " sweep: at each step the best learning rate, on one seed, an empirical lower bound."
    )
    return Figure("batch-size", "NLL by batch size", caption, chart)


def _ends(families: list[list[Arm]], curves: dict[str, Curve], style: Styles, channels: tuple[Any, Any]) -> list[Any]:
    """Final NLL against batch size, one line per recipe."""
    import altair as alt

    batches = sorted({arm["batch"] for family in families for arm in family})
    scale = alt.Scale(type="log", base=2, domain=[batches[0] / 1.25, batches[-1] * 1.25], nice=False)
    axis = alt.Axis(values=batches, format="d", grid=False)
    x = alt.X("batch:Q", title="batch size, examples per step (log scale)", scale=scale, axis=axis)
    color, shape = channels
    y = end_axis([curves[arm["name"]][-1][1] for family in families for arm in family])
    layers = []
    for family in families:
        rows = []
        for arm in family:
            label, value = style.label[arm["name"]], curves[arm["name"]][-1][1]
            rows.append(
                {"batch": arm["batch"], "nll": value, "arm": label, "note": f"{label}: ends at NLL {nll(value)}"}
            )
        chart = alt.Chart(data(rows))
        width = max(line_width(arm, style) for arm in family)
        line = chart.mark_line(strokeWidth=width, color=style.color[family[0]["name"]], clip=True, aria=False)
        layers.append(line.encode(x=x, y=y))
        dots = chart.mark_point(filled=True, size=90, opacity=1, clip=True)
        layers.append(dots.encode(x=x, y=y, color=color, shape=shape, description="note:N"))
    return layers


def _gaps(families: list[list[Arm]], curves: dict[str, Curve]) -> str:
    """One sentence per recipe: how far it ends from the reference's recipe at each batch size both have."""
    yardstick = next((family for family in families if any(arm["reference"] for arm in family)), None)
    if yardstick is None:
        return ""
    ends = {arm["batch"]: curves[arm["name"]][-1][1] for arm in yardstick}
    said = ""
    for family in families:
        shared = [arm for arm in family if arm["batch"] in ends]
        if family is yardstick or not shared:
            continue
        parts = [f"{_signed(curves[a['name']][-1][1] - ends[a['batch']])} at batch {a['batch']}" for a in shared]
        said += f" {family_label(family)} against {_inside(family_label(yardstick))}, in nats: {', '.join(parts)}."
    return said


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _inside(label: str) -> str:
    """A label inside a sentence: full fine-tuning is an ordinary noun, the others are names."""
    return label if not label.startswith("Full ") else f"full {label.removeprefix('Full ')}"
