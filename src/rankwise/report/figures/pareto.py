"""Cost against recovery: which arms are not beaten on both at once."""

from __future__ import annotations

from typing import Any, Literal

from rankwise.report.figures.base import Figure, Styles, data, edge_label, padded, styles
from rankwise.report.figures.theme import MUTED, PAPER, Layout
from rankwise.report.view import Arm, Document, margin_share, reference, reference_label, selection_nll
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import finite, percent

WIDEST = (-0.25, 1.5)
# What "cheapest by" compares: the key of the cost document that holds the share, and its name.
Share = Literal["flops_ratio", "trainable_ratio", "time_ratio", "memory_ratio", "bytes_ratio"]
COSTS: dict[str, tuple[Share, str]] = {
    "flops": ("flops_ratio", "training FLOPs"),
    "params": ("trainable_ratio", "trainable parameters"),
    "time": ("time_ratio", "time per step"),
    "memory": ("memory_ratio", "peak memory"),
    "bytes": ("bytes_ratio", "adapter file"),
}


def pareto_figure(document: Document) -> Figure | None:
    """Recovery against the cost the study recommends by (FLOPs by default); None when fewer than two arms have both.

    None, too, when fresh seeds were run and gave no recovery: then there is no gain to recover, and screening scores
    must not pretend that there is.
    """
    arms = arms_of(document)
    others = [arm for arm in arms if not arm["reference"]]
    if any(arm["fresh"] for arm in others) and not any(arm["recovery"] for arm in others):
        return None
    style = styles(arms)
    verdict = document["results"]["verdict"]
    key, what = COSTS.get(verdict.get("cheapest_by") or "flops", COSTS["flops"])
    rows = [row for arm in arms if (row := _row(arm, document, style, key, what))]
    if len(rows) < 2:
        key, what = COSTS["flops"]
        rows = [row for arm in arms if (row := _row(arm, document, style, key, what))]
    if len(rows) < 2:
        return None
    drawn = [arm for arm in arms if any(row["name"] == arm["name"] for row in rows)]
    margin = margin_share(document)
    heights = [
        margin,
        *(row["recovery"] for row in rows),
        *(row["low"] for row in rows),
        *(row["high"] for row in rows),
    ]
    y_domain = padded(min(heights), max(heights))
    x_domain = padded(min(row["cost"] for row in rows), max(row["cost"] for row in rows))
    name = reference_label(document)

    def chart(layout: Layout) -> Any:
        import altair as alt

        x = alt.X(
            "cost:Q",
            title=f"{what}, share of {name}",
            scale=alt.Scale(domain=x_domain, nice=False, zero=False),
            axis=alt.Axis(format=".0%", tickCount=5),
        )
        y = alt.Y(
            "recovery:Q",
            title="share of the gain recovered",
            scale=alt.Scale(domain=y_domain, nice=False, zero=False),
            axis=alt.Axis(format=".0%", tickCount=6),
        )
        color, shape = style.encode(drawn, layout)
        frontier = alt.Chart(data(_frontier([row for row in rows if row["fresh"]]))).mark_line(
            interpolate="step-after", strokeDash=[2, 3], color=MUTED.light, strokeWidth=1.5, aria=False
        )
        fresh = alt.Chart(data([row for row in rows if row["fresh"]]))
        screened = alt.Chart(data([row for row in rows if not row["fresh"]]))
        layers = [
            alt.Chart(data([{"recovery": margin}])).mark_rule(strokeDash=[5, 4], color=MUTED.light).encode(y=y),
            edge_label(f"margin {margin:.0%}", x=alt.value("width"), y=alt.datum(margin), align="right", dy=10, dx=-2),
            frontier.encode(x=x, y=y),
            fresh.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=color),
            screened.mark_point(size=120, strokeWidth=2, opacity=1, filled=False, fill=PAPER.light).encode(
                x=x, y=y, color=color, shape=shape, description="note:N"
            ),
            fresh.mark_point(size=150, filled=True, opacity=1).encode(
                x=x, y=y, color=color, shape=shape, description="note:N"
            ),
        ]
        chosen = [row for row in rows if row["name"] == verdict["recommended"]]
        if chosen:
            ring = alt.Chart(data(chosen)).mark_point(
                shape="circle", filled=False, size=420, strokeWidth=2, opacity=1, aria=False
            )
            layers.append(ring.encode(x=x, y=y, color=color))
        return alt.layer(*layers).properties(width=layout.width, height=layout.height)

    caption = (
        "Up is better, left is cheaper. Filled marks come from fresh seeds on the test set, with 95% intervals; the"
        " dotted line joins those that no other beats on both. The filled mark furthest left whose whole bar is above"
        " the dashed margin is the bargain."
    )
    if any(row["name"] == verdict["recommended"] for row in rows):
        caption += f" A ring marks the recommended arm, the cheapest by {what} of those that match."
    if any(not row["fresh"] for row in rows):
        caption += (
            " Hollow marks were only screened: one seed, the selection set and the best of several learning rates, so"
            " they flatter."
        )
    return Figure("pareto", "Cost against recovery", caption, chart)


def _row(arm: Arm, document: Document, style: Styles, key: Share, what: str) -> dict[str, Any] | None:
    cost = 1.0 if arm["reference"] else document["cost"]["arms"].get(arm["name"], {}).get(key)
    interval = arm["recovery"] if arm["recovery"] and finite(arm["recovery"]["estimate"]) else None
    fresh = interval is not None
    estimate = interval["estimate"] if interval else 1.0 if arm["reference"] else _screening_recovery(arm, document)
    if arm["reference"] and arm["best_lr"] is None:
        return None
    if estimate is None or cost is None or not finite(cost) or not finite(estimate):
        return None
    known = interval and finite(interval["low"]) and finite(interval["high"])
    low, high = (interval["low"], interval["high"]) if interval and known else (estimate, estimate)
    label = style.label[arm["name"]]
    how = "" if fresh or arm["reference"] else ", screened only"
    return {
        "name": arm["name"],
        "arm": label,
        "cost": cost,
        "recovery": _within(estimate),
        "low": _within(low),
        "high": _within(high),
        "fresh": fresh or bool(arm["reference"]),
        "note": f"{label}: {percent(estimate)} of the gain at {percent(cost)} of the {_short(what)}{how}",
    }


def _short(what: str) -> str:
    return what.removeprefix("training ")


def _screening_recovery(arm: Arm, document: Document) -> float | None:
    """Recovery on the selection set from the search alone; None without a gain to recover."""
    full = reference(document)
    target = selection_nll(full) if full is not None else None
    base, own = document["results"]["base"]["selection_nll"], selection_nll(arm)
    if target is None or own is None or not finite(base) or base <= target:
        return None
    return float(1.0 - (own - target) / (base - target))


def _frontier(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that no cheaper row equals or beats, from cheap to dear."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["cost"], -row["recovery"])):
        if not kept or row["recovery"] > kept[-1]["recovery"]:
            kept.append(row)
    return kept


def _within(value: float) -> float:
    return min(max(value, WIDEST[0]), WIDEST[1])
