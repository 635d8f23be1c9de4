"""One method on different layers: at one rank, at matched parameter counts, and NLL against what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rankwise.report.figures.base import Figure, Styles, data, haloed, styles
from rankwise.report.figures.curves import Curve, curve_layers, end_axis, nll_axis, nll_domain, points, untouched
from rankwise.report.figures.theme import INK, MUTED, Layout
from rankwise.report.view import Arm, Document, reference, reference_label
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import nll, short_count

MATCHED = 1.10  # trainable counts within 10 % of each other count as the same budget
SAME_TITLE, MATCHED_TITLE, COUNT_TITLE = "Same rank", "Matched parameters", "By trainable parameters"


@dataclass(frozen=True)
class Group:
    """Arms that differ in placement and share either rank or budget."""

    title: str
    arms: tuple[Arm, ...]


def placement_figure(document: Document) -> Figure | None:
    """NLL by placement, or None when no method has finite curves at two placements that can be compared."""
    arms = arms_of(document)
    base = document["results"]["base"]["selection_nll"]
    style = styles(arms)
    curves = {arm["name"]: points(arm["best_of_sweep"], base) for arm in arms}
    groups = placement_groups([arm for arm in arms if curves[arm["name"]]])
    if not groups:
        return None
    members = {arm["name"] for group in groups for arm in group.arms}
    full = reference(document)
    beside = {full["name"]} if full is not None and curves[full["name"]] else set()
    drawn = [arm for arm in arms if arm["name"] in members | beside]
    every = [point for arm in drawn for point in curves[arm["name"]]]
    domain = nll_domain([value for step, value in every if step > 0], base)
    last = max(step for step, _ in every)
    titles = [title for title in (SAME_TITLE, MATCHED_TITLE) if any(group.title == title for group in groups)]

    def chart(layout: Layout) -> Any:
        import altair as alt

        count = len(titles) + 1
        width = layout.width if layout.stacked else (layout.width - 60 * (count - 1)) // count
        channels = style.encode(drawn, layout)
        panels: list[tuple[str, list[Any]]] = []
        for title in titles:
            shown = beside | {arm["name"] for group in groups if group.title == title for arm in group.arms}
            y = nll_axis(domain, title=layout.stacked or not panels)
            lines = curve_layers([arm for arm in drawn if arm["name"] in shown], curves, style, y, channels, last)
            panels.append((title, [*untouched(base, domain, y), *lines]))
        panels.append((COUNT_TITLE, _counts(groups, drawn, members, curves, style, channels)))
        shaped = [alt.layer(*ls).properties(title=t, width=width, height=layout.height) for t, ls in panels]
        return alt.vconcat(*shaped) if layout.stacked else alt.hconcat(*shaped)

    return Figure("placement", "NLL by placement", _caption(groups, titles, reference_label(document)), chart)


def placement_groups(arms: list[Arm]) -> list[Group]:
    """Groups of arms of one method and batch that can be compared across placements; same ranks first."""
    alike: dict[tuple[str, int], list[Arm]] = {}
    for arm in arms:
        if arm["placement"] is not None and trainable(arm):
            alike.setdefault((arm["method"], arm["batch"]), []).append(arm)
    same: list[Group] = []
    matched: list[Group] = []
    for members in alike.values():
        for rank in sorted({arm["rank"] for arm in members if arm["rank"] is not None}):
            same.append(Group(SAME_TITLE, tuple(arm for arm in members if arm["rank"] == rank)))
        ordered = sorted(members, key=trainable)
        for smallest in map(trainable, ordered):
            near = tuple(arm for arm in ordered if smallest <= trainable(arm) <= MATCHED * smallest)
            if not any(set(_names(near)) <= set(_names(group.arms)) for group in matched):
                matched.append(Group(MATCHED_TITLE, near))
    return [group for group in (*same, *matched) if len({arm["placement"] for arm in group.arms}) > 1]


def trainable(arm: Arm) -> int:
    """How many parameters the arm trains; 0 when no run began."""
    return arm["trainable"] or 0


def _names(arms: tuple[Arm, ...]) -> list[str]:
    return [arm["name"] for arm in arms]


def _counts(
    groups: list[Group],
    drawn: list[Arm],
    members: set[str],
    curves: dict[str, Curve],
    style: Styles,
    channels: tuple[Any, Any],
) -> list[Any]:
    """Final NLL against trainable parameters; arms of one group are joined, the reference is a level line."""
    import altair as alt

    ends = {arm["name"]: curves[arm["name"]][-1][1] for arm in drawn}
    inside = [arm for arm in drawn if arm["name"] in members]
    counts = [trainable(arm) for arm in inside]
    levels = [ends[arm["name"]] for arm in drawn]
    scale = alt.Scale(type="log", domain=[min(counts) / 1.3, max(counts) * 1.3], nice=False)
    axis = alt.Axis(format="~s", tickCount=4, labelOverlap=True, grid=False)
    x = alt.X("trainable:Q", title="trainable parameters (log scale)", scale=scale, axis=axis)
    y = end_axis(levels)
    layers, names = [], []
    for arm in drawn:
        if arm["name"] not in members:
            level = ends[arm["name"]]
            layers.append(alt.Chart(data([{"nll": level}])).mark_rule(strokeWidth=3, color=INK.light).encode(y=y))
            text = f"{style.label[arm['name']]} {nll(level)}"
            names = haloed(text, x=alt.value(0), y=alt.datum(level), align="left", dx=4, dy=-10)
    for group in groups:
        rows: list[dict[str, Any]] = [{"trainable": arm["trainable"], "nll": ends[arm["name"]]} for arm in group.arms]
        dash = [1, 0] if group.title == SAME_TITLE else [4, 3]
        line = alt.Chart(data(rows)).mark_line(strokeWidth=1.5, strokeDash=dash, color=MUTED.light, aria=False)
        layers.append(line.encode(x=x, y=y))
    color, shape = channels
    rows = []
    for arm in inside:
        label, value = style.label[arm["name"]], ends[arm["name"]]
        note = f"{label}, {short_count(arm['trainable'])} trainable: NLL {nll(value)}"
        rows.append({"trainable": arm["trainable"], "nll": value, "arm": label, "note": note})
    dots = alt.Chart(data(rows)).mark_point(filled=True, size=120, opacity=1)
    return [*layers, *names, dots.encode(x=x, y=y, color=color, shape=shape, description="note:N")]


def _caption(groups: list[Group], titles: list[str], name: str) -> str:
    caption = f"Lower is better. The thick line is {name}."
    if any(arm["placement"] == "all-linear" for group in groups for arm in group.arms):
        caption += " An adapter whose label names no layers sits on all linear ones."
    if SAME_TITLE in titles:
        caption += (
            f" “{SAME_TITLE}” puts the same rank on different layers: the arm that covers more layers also trains more"
            " parameters, so it may win by size alone."
        )
    if MATCHED_TITLE in titles:
        caption += (
            f" “{MATCHED_TITLE}” takes that advantage away: the ranks are chosen so that the arms train the same number"
            " of parameters within 10%, and what is left is where they sit."
        )
    else:
        caption += (
            " No two placements here train the same number of parameters within 10%, so size and place are mixed."
        )
    joined = {
        (True, True): "solid lines join arms of one rank, dashed lines arms of matched size",
        (True, False): "lines join arms of one rank",
        (False, True): "dashed lines join arms of matched size",
    }[SAME_TITLE in titles, MATCHED_TITLE in titles]
    return (
        f"{caption} “{COUNT_TITLE}” shows where the curves end ({joined}): of two arms of one size, the lower is"
        " better placed. All curves are best of sweep, one seed: an empirical lower bound."
    )
