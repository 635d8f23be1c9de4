"""NLL against training step: the search's lower envelope, and the fresh seeds that carry the verdict."""

from __future__ import annotations

from typing import Any

from rankwise.report.figures.base import Figure, styles
from rankwise.report.figures.curves import Curve, curve_layers, nll_axis, nll_domain, points, untouched
from rankwise.report.figures.theme import Layout
from rankwise.report.view import Arm, Document, batch_families, reference_label
from rankwise.report.view import arms as arms_of
from rankwise.report.wording import nll

SEARCH_TITLE = "Best of sweep"
FRESH_TITLE = "Fresh seeds"


def steps_figure(document: Document) -> Figure | None:
    """NLL against step per arm, or None when no run produced a finite curve."""
    arms = arms_of(document)
    base = document["results"]["base"]["selection_nll"]
    style = styles(arms)
    search = {arm["name"]: points(arm["best_of_sweep"], base) for arm in arms}
    fresh = {arm["name"]: _mean_curve(arm, base) for arm in arms}
    if not any(search.values()) and not any(fresh.values()):
        return None
    drawn = [arm for arm in arms if search[arm["name"]] or fresh[arm["name"]]]
    every = [point for curves in (search, fresh) for curve in curves.values() for point in curve]
    domain = nll_domain([value for step, value in every if step > 0], base)
    last = max(step for step, _ in every)

    def chart(layout: Layout) -> Any:
        import altair as alt

        shown = [(SEARCH_TITLE, search), (FRESH_TITLE, fresh)]
        shown = [(title, curves) for title, curves in shown if any(curves.values())]
        width = layout.width if layout.stacked or len(shown) == 1 else (layout.width - 60) // 2
        y, channels = nll_axis(domain), style.encode(drawn, layout)
        panels = [
            alt.layer(*untouched(base, domain, y), *curve_layers(drawn, curves, style, y, channels, last)).properties(
                title=title, width=width, height=layout.height
            )
            for title, curves in shown
        ]
        return alt.vconcat(*panels) if layout.stacked else alt.hconcat(*panels)

    caption = (
        f"Lower is better. The thick line is {reference_label(document)}; every curve comes down from the untouched"
        f" model ({nll(base)}) at step 0. Look at how soon an arm's line reaches it, and whether it stays there."
        f" “{SEARCH_TITLE}” takes, at each step, the best learning rate of the search on one seed: it is an empirical"
        " lower bound, not a run you can repeat."
    )
    if any(fresh.values()):
        caption += f" “{FRESH_TITLE}” is the mean over new seeds at one fixed learning rate, and carries the verdict."
    if batch_families(arms):
        caption += (
            " One color is one recipe; the more continuous its line, the larger its batch. At equal steps, a larger"
            " batch has seen more examples: compare batch sizes in the figure made for it below."
        )
    return Figure("steps", "NLL against training step", caption, chart)


def _mean_curve(arm: Arm, base: float | None) -> Curve:
    """Mean over finished fresh seeds, at the steps that all of them measured."""
    curves = [dict(points(run["curve"], base)) for run in arm["fresh"] if run["status"] == "done"]
    curves = [curve for curve in curves if curve]
    if not curves:
        return []
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(step, sum(curve[step] for curve in curves) / len(curves)) for step in shared]
