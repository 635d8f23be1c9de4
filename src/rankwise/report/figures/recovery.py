"""Forest plot: how much of the reference's gain each arm recovers, with intervals, against the margin."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Figure, data, edge_label, padded, styles
from rankwise.report.figures.theme import INK, MUTED, PAPER, Layout
from rankwise.report.view import Arm, Document, badge, margin_share, reference_label
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import finite, recovery, recovery_interval
from rankwise.stats.verdict_words import NO_VERDICT
from rankwise.studies.results.schema import Interval

ROW = 54  # px per arm
WIDEST = (-0.5, 1.6)  # a recovery outside is cut at the edge and marked; its numbers are in the table


def recovery_figure(document: Document) -> Figure | None:
    """Recovery with 95% intervals of the arms that have one, or None when no arm does."""
    every = arms_of(document)
    arms = [arm for arm in every if not arm["reference"] and _interval(arm)]
    if not arms:
        return None
    style = styles(every)
    margin = margin_share(document)
    name = reference_label(document)
    rows = [_row(arm, style.label[arm["name"]]) for arm in arms]
    low, high = padded(min([margin, *(row["low"] for row in rows)]), max([1.0, *(row["high"] for row in rows)]), 0.10)
    high = max(high, 1.0 + 0.25 * (1.0 - low))  # the reference's name stands to the right of its line

    def chart(layout: Layout) -> Any:
        import altair as alt

        order = [style.label[arm["name"]] for arm in arms]
        title = "share of the gain recovered"
        x = alt.X(
            "estimate:Q",
            title=title,
            scale=alt.Scale(domain=[low, high], nice=False, zero=False),
            axis=alt.Axis(format=".0%", tickCount=5),
        )
        y = alt.Y(
            "arm:N", title=None, sort=order, axis=alt.Axis(labelLimit=110 if layout.stacked else 200, ticks=False)
        )
        color, shape = style.encode(arms, layout, legend=False)
        chart = alt.Chart(data(rows))
        whiskers = chart.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=color)
        dots = chart.mark_point(filled=True, size=130, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, description="note:N"
        )
        halo = chart.mark_text(dy=-15, stroke=PAPER.light, strokeWidth=5).encode(x=x, y=y, text="word:N")
        words = chart.mark_text(dy=-15, color=INK.light).encode(x=x, y=y, text="word:N")
        cut = [row for row in rows if row["cut"]]
        arrows = alt.Chart(data(cut)).mark_text(fontSize=13, dy=1).encode(x="at:Q", y=y, text="cut:N", color=color)
        rules = [
            alt.Chart(data([{"estimate": at}])).mark_rule(color=tone, strokeDash=dash, strokeWidth=1.5).encode(x=x)
            for at, tone, dash in ((margin, MUTED.light, [5, 4]), (1.0, INK.light, [1, 0]))
        ]
        # A phone has no room for both names in one row.
        beside = {"align": "center"} if layout.stacked else {"align": "left", "dx": 4}
        names = [
            edge_label(f"margin {margin:.0%}", x=alt.datum(margin), y=alt.value(-8), align="right", dx=-4),
            edge_label(name, x=alt.datum(1.0), y=alt.value(-24 if layout.stacked else -8), **beside, color=INK.light),
        ]
        layers = [*rules, *names, whiskers, dots, halo, words, *([arrows] if cut else [])]
        width = layout.width - (95 if layout.stacked else 140)
        return alt.layer(*layers).properties(width=width, height=ROW * len(rows))

    caption = (
        f"0% is the untouched model, 100% is {name}. Bars are 95% intervals over fresh seeds and test examples. Look at"
        " where the bar lies: wholly right of the dashed margin matches, wholly left falls short, across it is"
        " undecided."
    )
    if any(arm["verdict"]["word"] == NO_VERDICT for arm in arms):
        caption += " Where it says no verdict the bar must not be read so; the sentence on that arm says why."
    return Figure("recovery", f"Recovery of the gain of {name}", caption, chart)


def _interval(arm: Arm) -> Interval | None:
    """The recovery, where all of it can be drawn."""
    found = arm["recovery"]
    return found if found and all(map(finite, (found["estimate"], found["low"], found["high"]))) else None


def _row(arm: Arm, label: str) -> dict[str, Any]:
    interval = _interval(arm)
    assert interval is not None  # only such arms are drawn
    ends = {"estimate": interval["estimate"], "low": interval["low"], "high": interval["high"]}
    kept = {key: min(max(value, WIDEST[0]), WIDEST[1]) for key, value in ends.items()}
    word = badge(arm["verdict"]["word"])
    left, right = interval["low"] < WIDEST[0], interval["high"] > WIDEST[1]
    return kept | {
        "arm": label,
        "word": word.word,
        "cut": "◄ ►" if left and right else "◄" if left else "►" if right else "",
        "at": kept["low"] if left else kept["high"],
        "note": f"{label}: recovers {recovery(interval)} ({recovery_interval(interval)}), {word.word}",
    }
