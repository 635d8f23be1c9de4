"""Rank of every layer over training, for arms whose events move it: one panel an arm, darker is more rank."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from rankwise.report.figures.base import Figure, data, styles
from rankwise.report.figures.theme import INK, Layout
from rankwise.report.view import Arm, Document
from rankwise.report.view import arms as arms_of
from rankwise.studies.results.schema import RanksAt

POINTS = 12  # most moments drawn of one arm
LEAST = 0.06  # opacity of rank 0: a layer that lost everything is still seen


def rank_figure(document: Document) -> Figure | None:
    """Rank per layer against the step, or None when no arm's rank was recorded."""
    every = arms_of(document)
    arms = [arm for arm in every if _uneven(arm)]
    if not arms:
        return None
    style, last = styles(every), document["results"]["training"]["steps"]

    def chart(layout: Layout) -> Any:
        import altair as alt

        columns = 1 if layout.stacked else 2
        width = (layout.width - 70 * columns) // columns
        panels = [_panel(arm, style.label[arm["name"]], style.color[arm["name"]], last, width) for arm in arms]
        return alt.concat(*panels, columns=columns).resolve_scale(opacity="independent")

    caption = (
        "Each panel is one run; a row is a layer, the first one at the top, and what is darker has more rank (mean over"
        " the layer's modules; the darkest is the most this arm reaches). Merged pairs count: where an arm merges, rank"
        " only grows. Components that are switched off do not count. Look at which layers keep their rank."
    )
    return Figure("ranks", "Rank per layer over training", caption, chart)


def moments(arm: Arm) -> list[RanksAt]:
    """The recorded moments of an arm, first and last among at most :data:`POINTS`."""
    happened = arm.get("dynamics")
    recorded = happened["ranks"] if happened else []
    # Rects of equal rank side by side would show a seam.
    found = recorded[:1] + [own for before, own in pairwise(recorded) if own["layers"] != before["layers"]]
    if len(found) <= POINTS:
        return found
    at = sorted({round(i * (len(found) - 1) / (POINTS - 1)) for i in range(POINTS)})
    return [found[i] for i in at]


def _uneven(arm: Arm) -> bool:
    """Return whether rank changed over time or differs between layers: else there is nothing to see."""
    found = moments(arm)
    return len(found) > 1 or any(len(set(own["layers"])) > 1 for own in found)


def _panel(arm: Arm, label: str, color: str, last: int, width: int) -> Any:
    import altair as alt

    found = moments(arm)
    ends = [own["step"] for own in found[1:]] + [max(last, found[-1]["step"] + last / 40)]  # a change at the end shows
    rows = [
        {
            "from": own["step"],
            "to": end,
            "layer": layer,
            "rank": rank,
            "note": f"{label}, layer {layer}, from step {own['step']}: rank {rank:.3g}",
        }
        for own, end in zip(found, ends, strict=True)
        for layer, rank in enumerate(own["layers"], 1)
    ]
    most = max(max(row["rank"] for row in rows), 1)
    layers = len(found[0]["layers"])
    x = alt.X(
        "from:Q",
        title="training step",
        scale=alt.Scale(domain=[0, ends[-1]], nice=False, zero=False),
        axis=alt.Axis(tickMinStep=1, tickCount=6, grid=False),
    )
    step = max(1, layers // 6)
    ticks = [layer for layer in range(1, layers + 1) if layer == 1 or layer % step == 0]
    y = alt.Y("layer:O", title="layer", axis=alt.Axis(values=ticks, ticks=False, grid=False, labelOverlap=True))
    shown = alt.Opacity("rank:Q", scale=alt.Scale(domain=[0, most], range=[LEAST, 1]), legend=None)
    first, end = found[0]["layers"], found[-1]["layers"]
    title = alt.TitleParams(f"{label}: rank {_words(first)} at first, {_words(end)} at the end", color=INK.light)
    rects = alt.Chart(data(rows)).mark_rect(color=color, strokeWidth=0)
    height = min(220, max(60, 9 * layers))
    return rects.encode(x=x, x2="to:Q", y=y, opacity=shown, description="note:N").properties(
        title=title, width=width, height=height
    )


def _words(layers: list[float]) -> str:
    mean = f"{sum(layers) / len(layers):.3g}"
    return mean if min(layers) == max(layers) else f"{mean} ({min(layers):.3g} to {max(layers):.3g})"
