"""Figures of a stream of tasks: R as heat maps, a curve per task, what is kept, and growth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankwise.report.figures.base import Figure, data
from rankwise.report.figures.theme import ARMS, INK, MUTED, PAPER, SHAPES, Layout
from rankwise.report.stream_tables import complete, kept, leading
from rankwise.studies.results.schema import ChainOf, Measure, Metric, StrategyOf
from rankwise.studies.results.schema import StreamDocument as Document

MANY = 6  # strategies drawn as heat maps; all of them, in every order, are in the table R


def stream_figures(document: Document) -> list[Figure]:
    """Every figure of a stream."""
    metric = leading(document)[0]
    return [_heat(document, metric), _curves(document, metric), _kept(document, metric), _growth(document)]


def _what(metric: Metric) -> str:
    return {"exact_match": "exact match", "nll": "NLL per token"}[metric]


def _mean(tables: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    return [[sum(cells) / len(cells) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _first_order(document: Document) -> list[tuple[StrategyOf, list[str], list[ChainOf]]]:
    """Strategies with their first order and the chains on it."""
    found = []
    for strategy in document["results"]["strategies"]:
        order = strategy["chains"][0]["order"]
        found.append((strategy, order, [c for c in strategy["chains"] if c["order"] == order]))
    return found


def _heat(document: Document, metric: Metric) -> Figure:
    panels: list[tuple[str, list[str], list[str], list[dict[str, Any]]]] = []
    for strategy, order, chains in _first_order(document)[:MANY]:
        rows = _mean([chain["R"][metric] for chain in chains])
        names = ["base", *order]
        cells: list[dict[str, Any]] = [
            {
                "after": f"{i} {names[i]}",
                "task": task,
                "value": value,
                "text": f"{value:.0%}" if metric == "exact_match" else f"{value:.2f}",
                "note": f"{strategy['label']}, after {names[i]}, on {task}: {value:.3f}",
            }
            for i, row in enumerate(rows)
            for task, value in zip(order, row, strict=True)
        ]
        panels.append((strategy["label"], order, [f"{i} {name}" for i, name in enumerate(names)], cells))
    values = [float(cell["value"]) for panel in panels for cell in panel[3]]
    best = min(values) if metric == "nll" else max(values)
    worst = max(values) if metric == "nll" else min(values)

    def chart(layout: Layout) -> Any:
        import altair as alt

        charts = []
        for label, order, after, cells in panels:
            scale = alt.Scale(domain=[worst, best if best != worst else worst + 1], range=[PAPER.light, ARMS[0].light])
            x = alt.X("task:N", sort=order, title="scored on", axis=alt.Axis(labelAngle=0, labelLimit=70))
            y = alt.Y("after:N", sort=after, title="after learning", axis=alt.Axis(labelLimit=90))
            base = alt.Chart(data(cells)).encode(x=x, y=y)
            squares = base.mark_rect(stroke=MUTED.light).encode(
                color=alt.Color("value:Q", scale=scale, legend=None), description="note:N"
            )
            middle = (best + worst) / 2
            dark = f"datum.value > {middle}" if best > worst else f"datum.value < {middle}"
            text = base.mark_text().encode(
                text="text:N", color=alt.condition(dark, alt.value(PAPER.light), alt.value(INK.light))
            )
            size = min(62 * len(order), layout.width - 120)
            charts.append(alt.layer(squares, text).properties(title=label, width=size, height=34 * len(after)))
        columns = 1 if layout.stacked else 3
        return alt.concat(*charts, columns=columns)

    caption = (
        f"R by {_what(metric)}, mean over seeds, first order (others: the table R). Rows: the untouched base, "
        "then after each task. Read a column downward: it darkens when its task is learned, and pales where later "
        "tasks cost it."
    )
    return Figure("R", "R: every task after every task", caption, chart)


def _curves(document: Document, metric: Metric) -> Figure:
    rows: list[dict[str, Any]] = []
    for strategy, order, chains in _first_order(document):
        for i, row in enumerate(_mean([chain["R"][metric] for chain in chains])):
            for task, value in zip(order, row, strict=True):
                rows.append(
                    {"strategy": strategy["label"], "task": task, "after": i, "value": value,
                     "note": f"{strategy['label']}, {task} after {i} tasks: {value:.3f}"}
                )  # fmt: skip
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    labels = list(dict.fromkeys(row["strategy"] for row in rows))

    def chart(layout: Layout) -> Any:
        import altair as alt

        color, shape = _channels(labels, layout)
        width = layout.width if layout.stacked else layout.width // len(tasks) - 55
        charts = []
        for task in tasks:
            base = alt.Chart(data([row for row in rows if row["task"] == task]))
            x = alt.X("after:O", title="tasks learned", axis=alt.Axis(labelAngle=0))
            y = alt.Y("value:Q", title=_what(metric) if task == tasks[0] else None, scale=alt.Scale(zero=False))
            lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color)
            dots = base.mark_point(filled=True, size=70, opacity=1).encode(
                x=x, y=y, color=color, shape=shape, description="note:N"
            )
            charts.append(alt.layer(lines, dots).properties(title=task, width=width, height=layout.height - 60))
        return alt.vconcat(*charts) if layout.stacked else alt.hconcat(*charts)

    caption = "One panel a task, first order, mean over seeds. A line that falls after its own task is forgetting."
    return Figure("curves", f"Each task's {_what(metric)} along the stream", caption, chart)


def _kept(document: Document, metric: Metric) -> Figure:
    rows = [
        _bar(s["label"], name, s["measures"][metric][name])
        for s in document["results"]["strategies"]
        for name in ("AP", "learned")
    ]
    if joint := document["results"]["joint"]:
        rows.append(_bar("joint", "AP", joint["AP"][metric]))
    labels = list(dict.fromkeys(row["strategy"] for row in rows))

    def chart(layout: Layout) -> Any:
        import altair as alt

        title = "exact match" if metric == "exact_match" else "minus NLL per token"
        y = alt.Y("strategy:N", sort=labels, title=None, axis=alt.Axis(labelLimit=110 if layout.stacked else 200))
        offset = alt.YOffset("what:N", sort=["learned", "AP"])
        x = alt.X("estimate:Q", title=title, scale=alt.Scale(zero=False))
        key = alt.Legend(title=None, orient="bottom")
        color = alt.Color(
            "what:N", scale=alt.Scale(domain=["learned", "AP"], range=[MUTED.light, ARMS[0].light]), legend=key
        )
        base = alt.Chart(data(rows))
        bars = base.mark_rule(strokeWidth=3).encode(
            x=alt.X("low:Q", title=title), x2="high:Q", y=y, yOffset=offset, color=color
        )
        dots = base.mark_point(filled=True, size=80, opacity=1).encode(
            x=x, y=y, yOffset=offset, color=color, description="note:N"
        )
        width = layout.width - (115 if layout.stacked else 210)
        return alt.layer(bars, dots).properties(width=width, height=40 * len(labels))

    caption = (
        "AP at the end beside what each task scored right after it was learned, with 95 % intervals over orders, seeds "
        "and test examples. The distance between the two is what was lost on the way."
    )
    return Figure("kept", "Learned, and kept", caption, chart)


def _bar(strategy: str, what: str, value: Measure) -> dict[str, Any]:
    own = {"estimate": value["estimate"], "low": value["low"], "high": value["high"]}
    return {"strategy": strategy, "what": what, **own, "note": f"{strategy}, {what}: {value['estimate']:.3f}"}


def _growth(document: Document) -> Figure:
    rows: list[dict[str, Any]] = [
        {"strategy": s["label"], "after": i, "numbers": kept(g), "note": f"{s['label']}: {kept(g):,}"}
        for s in document["results"]["strategies"]
        for i, g in enumerate(s["growth"], 1)
    ]
    labels = list(dict.fromkeys(row["strategy"] for row in rows))

    def chart(layout: Layout) -> Any:
        import altair as alt

        color, shape = _channels(labels, layout)
        x = alt.X("after:O", title="tasks learned", axis=alt.Axis(labelAngle=0))
        y = alt.Y("numbers:Q", title="numbers kept", axis=alt.Axis(format="~s"))
        base = alt.Chart(data(rows))
        lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color)
        dots = base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, description="note:N"
        )
        return alt.layer(lines, dots).properties(width=layout.width, height=layout.height - 60)

    also = ", what events remember, centroids" if complete(document["results"]) else ""
    caption = (
        "What has to be kept to go on and to answer, besides stored examples: trained and frozen pairs of all modules"
        f"{also}. Flat lines reuse theirs. First order, first seed."
    )
    return Figure("growth", "Growth", caption, chart)


def _channels(labels: list[str], layout: Layout) -> tuple[Any, Any]:
    import altair as alt

    colors = [INK.light, *(shade.light for shade in ARMS)]
    key = alt.Legend(title=None, orient="bottom", columns=layout.legend_columns, labelLimit=layout.label_limit)
    ink = [colors[i % len(colors)] for i in range(len(labels))]
    marks = [SHAPES[i % len(SHAPES)] for i in range(len(labels))]
    return (
        alt.Color("strategy:N", scale=alt.Scale(domain=labels, range=ink), legend=key),
        alt.Shape("strategy:N", scale=alt.Scale(domain=labels, range=marks), legend=key),
    )
