"""The figures of the page, in reading order. A new figure is one file here and one line in ``FIGURES``."""

from __future__ import annotations

from collections.abc import Callable

from rankwise.report.figures.base import Figure
from rankwise.report.figures.batch_size import batch_size_figure
from rankwise.report.figures.learning_rates import learning_rate_figure
from rankwise.report.figures.pareto import pareto_figure
from rankwise.report.figures.placement import placement_figure
from rankwise.report.figures.rank_over_time import rank_figure
from rankwise.report.figures.recovery import recovery_figure
from rankwise.report.figures.steps import steps_figure
from rankwise.report.figures.update_ranks import update_figure
from rankwise.report.view import Document

FIGURES: tuple[Callable[[Document], Figure | None], ...] = (
    steps_figure,
    batch_size_figure,
    placement_figure,
    learning_rate_figure,
    recovery_figure,
    pareto_figure,
    rank_figure,
    update_figure,
)


def figures(document: Document) -> list[Figure]:
    """Every figure that the document has data for."""
    return [figure for build in FIGURES if (figure := build(document)) is not None]
