"""NLL against learning rate: one U per arm, its best ringed, what diverged at the top edge."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from rankwise.report.figures.base import Figure, Styles, data, edge_label, line_width, padded, styles
from rankwise.report.figures.theme import ALARM, CROSS_OUT, MUTED, Layout
from rankwise.report.view import Arm, Document, score
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import finite, learning_rate, nll
from rankwise.studies.results.schema import Fit

PIECES = 24  # straight pieces a fitted parabola is drawn with
DODGE = 13  # px between marks of different arms lost at the same learning rate


def learning_rate_figure(document: Document) -> Figure | None:
    """Selection NLL against learning rate on a log axis, or None when nothing was searched."""
    every = arms_of(document)
    arms = [arm for arm in every if arm["learning_rates"]]
    if not arms:
        return None
    style = styles(every)
    base = document["results"]["base"]["selection_nll"]
    scores = {arm["name"]: _scores(arm) for arm in arms}
    values = [value for by_lr in scores.values() for value in by_lr.values()]
    tested = sorted({run["lr"] for arm in arms for run in arm["learning_rates"]})
    # Worse than the untouched model is off the chart: it would flatten the U shapes it is there to show.
    within = [value for value in values if not finite(base) or value <= base] or [base if finite(base) else 1.0]
    low, high = padded(min(within), max(within), 0.08)
    top = high + (high - low) * 0.10
    lost = _lost(arms, style, (top + high) / 2, high)
    if not lost:
        top = high
    decades = math.log10(tested[-1] / tested[0] * 1.35**2)

    def chart(layout: Layout) -> Any:
        import altair as alt

        x = alt.X(
            "lr:Q",
            title="learning rate (log scale)",
            scale=alt.Scale(type="log", domain=[tested[0] / 1.35, tested[-1] * 1.35], nice=False),
            axis=alt.Axis(values=tested, format="~e", labelOverlap=True),
        )
        # With no finite score the axis only carries the marks at its top edge; numbers on it would mean nothing.
        axis = alt.Axis(
            labels=bool(values),
            ticks=bool(values),
            grid=bool(values),
            labelExpr=f"datum.value > {high:.12g} ? '' : datum.label",
        )
        y = alt.Y(
            "nll:Q",
            title="selection NLL, nats per token",
            scale=alt.Scale(domain=[low, top], nice=False, zero=False),
            axis=axis,
        )
        color, shape = style.encode(arms, layout)
        layers = []
        for arm in sorted(arms, key=lambda arm: not arm["reference"]):
            rows = _rows(arm, style.label[arm["name"]], scores[arm["name"]], high)
            layers += _curve(rows, x, y, color, shape, line_width(arm, style), style.dash[arm["name"]])
            last = document["results"]["training"]["steps"]
            layers += _fitted(arm, style.label[arm["name"]], scores[arm["name"]], last, x, y, color, high)
        if lost:
            shift = decades / layout.width * DODGE
            beside = [row | {"lr": row["lr"] * 10 ** (row["slot"] * shift)} for row in lost]
            marks = alt.Chart(data(beside)).mark_point(
                shape=CROSS_OUT, size=60, strokeWidth=2.5, filled=False, opacity=1
            )
            layers.append(marks.encode(x=x, y=y, color=color, description="note:N"))
            layers.append(alt.Chart(data([{"nll": high}])).mark_rule(strokeDash=[2, 3], color=MUTED.light).encode(y=y))
            text = "× diverged, or worse than untouched"
            layers.append(edge_label(text, x=alt.value(0), y=alt.value(-8), align="left", color=ALARM.light))
        return alt.layer(*layers).properties(width=layout.width, height=layout.height)

    caption = (
        "No run ended with a finite score."
        if not values
        else "Lower is better; a ring marks each arm's best learning rate. Look for a U: a best value with worse on"
        " both sides was really searched, one at the end of its line may lie further out. One seed, best checkpoint."
    )
    if any(_fit(arm) for arm in arms):
        caption += (
            " A dotted curve is the parabola fitted around an arm's best values (drawn at the height of its best value"
            " when fitted at an earlier step); a + marks its minimum."
        )
    if lost:
        caption += " A × at the top edge diverged, or ended worse than the untouched model, at that learning rate."
    return Figure("learning-rates", "NLL against learning rate", caption, chart)


def _fit(arm: Arm) -> Fit | None:
    """The fitted parabola when it opens upward and its numbers can be drawn; older documents have none."""
    fit = arm.get("fit")
    if not fit or not all(finite(value) for value in (fit["lr"], fit["nll"], *fit["coefficients"])):
        return None
    return fit if fit["lr"] > 0 and fit["coefficients"][2] > 0 else None


def _fitted(
    arm: Arm, label: str, scores: dict[float, float], last: int, x: Any, y: Any, color: Any, high: float
) -> list[Any]:
    """The parabola over the tested rates on both sides of its minimum, and a + at the minimum."""
    import altair as alt

    fit = _fit(arm)
    if fit is None:
        return []
    tested = sorted({run["lr"] for run in arm["learning_rates"]})
    center = min(range(len(tested)), key=lambda place: abs(math.log(tested[place] / fit["lr"])))
    left, right = tested[max(center - 1, 0)], tested[min(center + 1, len(tested) - 1)]
    low, high_end = math.log10(min(left, fit["lr"])), math.log10(max(right, fit["lr"]))
    c0, c1, c2 = fit["coefficients"]

    def value(u: float) -> float:
        return float(c0 + c1 * u + c2 * u * u)

    best, shift = arm["best_lr"], 0.0
    early = fit.get("step") not in (None, last) and best in scores
    if early and best is not None:
        shift = scores[best] - value(math.log10(best))
    at = [low + (high_end - low) * n / PIECES for n in range(PIECES + 1)]
    points: list[dict[str, Any]] = [{"lr": 10**u, "nll": value(u) + shift, "arm": label} for u in at]
    when = f" at step {fit['step']}" if early else ""
    note = f"{label}: fitted minimum{when} {nll(fit['nll'])} at learning rate {learning_rate(fit['lr'])}"
    lowest: list[dict[str, Any]] = [{"lr": fit["lr"], "nll": fit["nll"] + shift, "arm": label, "note": note}]
    curve = alt.Chart(data([point for point in points if point["nll"] <= high]))
    plus = alt.Chart(data([point for point in lowest if point["nll"] <= high]))
    return [
        curve.mark_line(strokeWidth=1.5, strokeDash=[2, 2], aria=False).encode(x=x, y=y, color=color),
        plus.mark_point(shape="M-1,0L1,0M0,-1L0,1", size=90, strokeWidth=2, filled=False, opacity=1).encode(
            x=x, y=y, color=color, description="note:N"
        ),
    ]


def _scores(arm: Arm) -> dict[float, float]:
    """Learning rate -> mean selection NLL over finished runs."""
    found: dict[float, list[float]] = defaultdict(list)
    for run in arm["learning_rates"]:
        if (nll := score(run)) is not None:
            found[run["lr"]].append(nll)
    return {lr: sum(scores) / len(scores) for lr, scores in sorted(found.items())}


def _rows(arm: Arm, label: str, scores: dict[float, float], high: float) -> list[dict[str, Any]]:
    return [
        {
            "lr": lr,
            "nll": value,
            "arm": label,
            "best": lr == arm["best_lr"],
            "note": f"{label}, learning rate {learning_rate(lr)}: NLL {nll(value)}",
        }
        for lr, value in scores.items()
        if value <= high
    ]


def _lost(arms: list[Arm], style: Styles, at: float, high: float) -> list[dict[str, Any]]:
    """Marks at the top edge; ``slot`` counts from the middle where several arms were lost at one learning rate."""
    found: dict[float, list[tuple[Arm, str]]] = defaultdict(list)
    for arm in arms:
        for run in arm["learning_rates"]:
            if run["status"] == "diverged":
                found[run["lr"]].append((arm, "diverged"))
            elif (ended := run["selection_nll"]) is not None and finite(ended) and ended > high:
                found[run["lr"]].append((arm, f"NLL {nll(ended)}, worse than the untouched model"))
    rows = []
    for lr, marks in sorted(found.items()):
        for index, (arm, what) in enumerate(marks):
            label = style.label[arm["name"]]
            slot = index - (len(marks) - 1) / 2
            note = f"{label}, learning rate {learning_rate(lr)}: {what}"
            rows.append({"lr": lr, "slot": slot, "nll": at, "arm": label, "note": note})
    return rows


def _curve(
    rows: list[dict[str, Any]], x: Any, y: Any, color: Any, shape: Any, width: float, dash: list[int]
) -> list[Any]:
    import altair as alt

    chart = alt.Chart(data(rows))
    ring = alt.Chart(data([row for row in rows if row["best"]]))
    return [
        chart.mark_line(strokeWidth=width, strokeDash=dash, strokeJoin="round", aria=False).encode(
            x=x, y=y, color=color
        ),
        chart.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, description="note:N"
        ),
        ring.mark_point(shape="circle", filled=False, size=330, strokeWidth=2, opacity=1, aria=False).encode(
            x=x, y=y, color=color
        ),
    ]
