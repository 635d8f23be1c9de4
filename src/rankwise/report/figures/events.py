"""Figures of the study of orthogonalization events: loss around events, jumps, coherence, final losses."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Figure, data
from rankwise.report.figures.theme import ALARM, ARMS, INK, MUTED, SHAPES, Layout
from rankwise.studies.results.schema import EventArm
from rankwise.studies.results.schema import EventsDocument as Document

ZIGZAG = ("none", "qr", "row-norm", "row-norm-a", "qr-fold", "polar-fold", "penalty")
TINY = 1e-9  # nats: an exact zero on the logarithmic axis


def event_figures(document: Document) -> list[Figure]:
    """Every figure that the document has data for."""
    found = document["results"]
    rows = _events(document)
    if not rows:
        return []
    labels, arms = found["labels"], [arm for arm in found["labels"] if any(r["name"] == arm for r in rows)]
    return [
        _around(document, rows, labels),
        _strip(rows, [labels[arm] for arm in arms]),
        _coherence(found["arms"], [labels[arm] for arm in arms]),
        _final(found["arms"], [labels[arm] for arm in arms]),
    ]


def _events(document: Document) -> list[dict[str, Any]]:
    labels, rows = document["results"]["labels"], []
    for run in document["results"]["runs"]:
        for event in run["events"]:
            if event["event"] != "orthogonalize" or not event["modules"] or event["probe_loss_before"] is None:
                continue
            before, after = event["probe_loss_before"], event["probe_loss_after"]
            if after is None:
                continue
            rows.append(
                {
                    "name": run["arm"],
                    "arm": labels[run["arm"]],
                    "run": "/".join(str(run[k]) for k in ("rank", "lr", "every", "seed")),
                    "duplication": f"x{run['duplication']}",
                    "step": event["step"],
                    "before": before,
                    "after": after,
                    "size": max(abs(after - before), TINY),
                    "note": f"{labels[run['arm']]}, x{run['duplication']}, step {event['step']}: {after - before:+.2e}",
                }
            )
    return rows


def _around(document: Document, rows: list[dict[str, Any]], labels: dict[str, str]) -> Figure:
    study = document["results"]["study"]
    times = f"x{max(study['duplications'])}"
    first = next(row["run"] for row in rows)
    arms = [arm for arm in ZIGZAG if arm in labels]
    points = []
    for row in rows:
        if row["duplication"] == times and row["run"] == first and row["name"] in arms:
            for place, (when, key) in enumerate((("before", "before"), ("after", "after"))):
                points.append({**row, "loss": row[key], "order": 2 * row["step"] + place, "when": when})
    names = [labels[arm] for arm in arms]

    def chart(layout: Layout) -> Any:
        import altair as alt

        colors = [INK.light, *(shade.light for shade in ARMS)]
        key = alt.Legend(title=None, orient="bottom", columns=1 if layout.stacked else 3, labelLimit=280)
        color = alt.Color("arm:N", scale=alt.Scale(domain=names, range=colors[: len(names)]), legend=key)
        shape = alt.Shape("arm:N", scale=alt.Scale(domain=names, range=_shapes(len(names))), legend=key)
        steps = alt.Scale(domain=[0, study["steps"] + 0.5], nice=False)
        x = alt.X("step:Q", title="optimizer step", scale=steps, axis=alt.Axis(tickMinStep=1))
        y = alt.Y("loss:Q", title="loss on the same examples (nats)", scale=alt.Scale(zero=False))
        base = alt.Chart(data(points))
        lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, order="order:Q")
        dots = base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, description="note:N"
        )
        return alt.layer(lines, dots).properties(width=layout.width, height=layout.height)

    caption = (
        f"Training examples repeated {times}. At every event there are two marks at the same step: the loss on the "
        "same examples just before and just after it. A vertical stretch is a jump; between events training moves it."
    )
    return Figure("around", "Loss around events", caption, chart)


def _strip(rows: list[dict[str, Any]], names: list[str]) -> Figure:
    def chart(layout: Layout) -> Any:
        import altair as alt

        y = alt.Y("arm:N", title=None, sort=names, axis=alt.Axis(labelLimit=120 if layout.stacked else 260))
        x = alt.X(
            "size:Q", title="|jump| (nats, logarithmic)", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e")
        )
        color = alt.Color(
            "duplication:N",
            scale=alt.Scale(range=[ARMS[0].light, ARMS[1].light, ARMS[3].light]),
            legend=alt.Legend(title="repeated", orient="bottom"),
        )
        rule = alt.Chart(data([{"size": 1e-4}])).mark_rule(strokeDash=[5, 4], color=ALARM.light).encode(x="size:Q")
        ticks = (
            alt.Chart(data(rows))
            .mark_point(filled=True, size=60, opacity=0.8)
            .encode(x=x, y=y, color=color, description="note:N")
        )
        return alt.layer(rule, ticks).properties(width=_beside(layout), height=26 * len(names))

    caption = (
        "Every mark is one event: how far it moved the loss on the same examples. Left of the dashed line, 1e-4 nats, "
        "is the rounding of float32; exact zeros stand at the left edge."
    )
    return Figure("jumps", "Jumps of the loss at events", caption, chart)


def _coherence(entries: list[EventArm], names: list[str]) -> Figure:
    rows = [
        {
            "arm": entry["label"],
            "when": when,
            "value": value,
            "before": entry["coherence_before"],
            "after": entry["coherence_mean_after"],
            "note": f"{entry['label']}: max |cos| {when} {value:.3g}",
        }
        for entry in entries
        if entry["duplication"] is None and None not in (entry["coherence_before"], entry["coherence_mean_after"])
        for when, value in (("before", entry["coherence_before"]), ("after", entry["coherence_mean_after"]))
    ]

    def chart(layout: Layout) -> Any:
        import altair as alt

        y = alt.Y("arm:N", title=None, sort=names, axis=alt.Axis(labelLimit=120 if layout.stacked else 260))
        x = alt.X("value:Q", title="largest |cos| between two rows of A", scale=alt.Scale(domain=[0, 1]))
        color = alt.Color(
            "when:N",
            scale=alt.Scale(domain=["before", "after"], range=[MUTED.light, ARMS[0].light]),
            legend=alt.Legend(title=None, orient="bottom"),
        )
        base = alt.Chart(data(rows))
        rule = base.mark_rule(color=MUTED.light).encode(x=alt.X("before:Q"), x2="after:Q", y=y)
        dots = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=color, description="note:N")
        return alt.layer(rule, dots).properties(width=_beside(layout), height=26 * len(names))

    caption = (
        "The largest |cos| in any module before and after an event, mean over events. 0 means orthogonal rows. Row "
        "normalization leaves both where they were: lengths change, angles do not."
    )
    return Figure("coherence", "Are the rows of A orthogonal?", caption, chart)


def _final(entries: list[EventArm], names: list[str]) -> Figure:
    rows = [
        {
            "arm": entry["label"],
            "what": what,
            "duplication": f"x{entry['duplication']}",
            "loss": loss,
            "note": f"{entry['label']}, x{entry['duplication']}: {what} {loss:.4f}",
        }
        for entry in entries
        if entry["duplication"] is not None
        for what, loss in (("training examples", entry["remembered"]), ("held-out examples", entry["held_out"]))
        if loss is not None
    ]
    panels = list(dict.fromkeys(row["duplication"] for row in rows))

    def chart(layout: Layout) -> Any:
        import altair as alt

        width = layout.width - 100 if layout.stacked else (layout.width - 270) // max(len(panels), 1) - 20
        color = alt.Color(
            "what:N",
            scale=alt.Scale(range=[ARMS[1].light, ARMS[0].light]),
            legend=alt.Legend(title=None, orient="bottom"),
        )
        charts = []
        for place, panel in enumerate(panels):
            shown = place == 0 or layout.stacked
            axis = alt.Axis(labelLimit=100 if layout.stacked else 230, labels=shown, ticks=False)
            own = alt.Chart(data([row for row in rows if row["duplication"] == panel]))
            charts.append(
                own.mark_point(filled=True, size=80, opacity=1)
                .encode(
                    x=alt.X("loss:Q", title="loss (nats)", scale=alt.Scale(zero=False)),
                    y=alt.Y("arm:N", title=None, sort=names, axis=axis),
                    color=color,
                    shape=alt.Shape("what:N", legend=alt.Legend(title=None, orient="bottom")),
                    description="note:N",
                )
                .properties(title=f"repeated {panel}", width=width, height=26 * len(names))
            )
        return alt.vconcat(*charts) if layout.stacked else alt.hconcat(*charts)

    caption = (
        "After the last step: the loss on the training examples and on held-out ones. Repeated examples are learned by "
        "heart sooner; the gap between both marks is what was memorized. Arms differ by few runs."
    )
    return Figure("final", "Final and held-out loss", caption, chart)


def _beside(layout: Layout) -> int:
    return layout.width - (125 if layout.stacked else 265)


def _shapes(count: int) -> list[str]:
    return [SHAPES[i % len(SHAPES)] for i in range(count)]
