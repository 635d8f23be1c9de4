"""In how many directions the total update of every arm goes: effective rank beside rank."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Figure, data, styles
from rankwise.report.figures.theme import INK, MUTED, Layout
from rankwise.report.view import Arm, Document
from rankwise.report.view import arms as arms_of
from rankwise.studies.results.schema import UpdateRanks

ROW = 40  # px per arm


def update_figure(document: Document) -> Figure | None:
    """Effective rank and rank of the total update by arm, or None when they were not measured."""
    every = arms_of(document)
    arms = [arm for arm in every if update(arm)]
    if not arms:
        return None
    style = styles(every)
    rows = [_row(arm, style.label[arm["name"]]) for arm in arms]
    most = max(row["most"] for row in rows)

    def chart(layout: Layout) -> Any:
        import altair as alt

        title = "rank of the total update, over the layers"
        scale = alt.Scale(domain=[0, 1.05 * most], nice=False, zero=True)
        x = alt.X("effective:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))
        axis = alt.Axis(labelLimit=110 if layout.stacked else 200, ticks=False)
        y = alt.Y("arm:N", title=None, sort=[row["arm"] for row in rows], axis=axis)
        color, shape = style.encode(arms, layout, legend=False)
        chart = alt.Chart(data(rows))
        spans = chart.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=color)
        dots = chart.mark_point(filled=True, size=120, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, description="note:N"
        )
        ranks = chart.mark_tick(thickness=2, size=18, color=INK.light).encode(x=alt.X("rank:Q", title=title), y=y)
        words = chart.mark_text(dy=-13, color=MUTED.light).encode(x=x, y=y, text="said:N")
        width = layout.width - (95 if layout.stacked else 140)
        return alt.layer(spans, ranks, dots, words).properties(width=width, height=ROW * len(rows))

    caption = (
        "The mark is the effective rank, exp of the entropy of the singular values over their sum, mean over the layers"
        " (the bar: least to most); the tick is how many singular values there are that are not rounding. An update"
        " whose mark lies far left of its tick has the rank and hardly uses it."
    )
    return Figure("update-ranks", "Effective rank of the total update", caption, chart)


def update(arm: Arm) -> UpdateRanks | None:
    """What was measured of an arm's update."""
    happened = arm.get("dynamics")
    return happened["update"] if happened else None


def _row(arm: Arm, label: str) -> dict[str, Any]:
    found = update(arm)
    assert found is not None  # only such arms are drawn
    effective, rank = found["effective"], found["rank"]
    return {
        "arm": label,
        "effective": effective["mean"],
        "low": effective["low"],
        "high": effective["high"],
        "rank": rank["mean"],
        "most": max(effective["high"], rank["mean"]),
        "said": f"{effective['mean']:.3g} of {rank['mean']:.3g}",
        "note": f"{label}: effective rank {effective['mean']:.3g}, rank {rank['mean']:.3g}, {found['layers']} layers",
    }
