"""Writes `report.html`: one file, no script, no request of any kind; and the PNGs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rankwise.files import write_text
from rankwise.report import columns, optional_sections, sections, survey, view, wording
from rankwise.report.clean import clean
from rankwise.report.next_step import next_step
from rankwise.report.pictures import Picture, draw_figures
from rankwise.report.templating import environment
from rankwise.report.view import Document


def write_study(document: Document, folder: Path) -> Path:
    """Write ``folder/report.html`` and ``folder/figures/*.png`` from a study document; return the page's path.

    The page's bytes depend on ``document`` alone, except that it mentions ``best/`` and ``recipes/`` where they are.
    A figure without data is left out, and a PNG of it from an earlier report is removed.
    """
    document = cast("Document", clean(document))
    pictures = _draw(document, folder)
    page = folder / "report.html"
    saved, recipes = (folder / "best").is_dir(), sections.recipe_files(folder / "recipes")
    write_text(page, render_page(document, pictures, adapter_saved=saved, recipes=recipes))
    return page


def render_page(
    document: Document,
    pictures: list[Picture],
    *,
    adapter_saved: bool = False,
    recipes: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as text. Everything from the document is escaped by the template engine; only our SVG is not."""
    from rankwise.report.figures.theme import dark_rules

    engine = environment()
    engine.filters.update(
        nll=wording.nll,
        lr=wording.learning_rate,
        duration=wording.duration,
        arxiv=sections.arxiv_link,
        sentence=sections.sentence,
    )
    lines = columns.lines(document)
    arms = [line.view for line in lines]
    chosen = next((line.view for line in lines if line.chosen), None)
    return engine.get_template("report.html.j2").render(
        results=document["results"],
        lines=lines,
        columns=columns.of_page,
        chosen=chosen,
        tone=sections.tone(arms, chosen),
        reference=view.reference_label(document),
        tiles=sections.tiles(chosen),
        decided=sections.decided(document),
        remarks=sections.remarks(arms),
        gain=sections.gain(document),
        setup=sections.setup(document),
        versions=sections.versions(document),
        next=next_step(document),
        pictures=pictures,
        dark_figures=dark_rules(".chart"),
        adapter_saved=adapter_saved,
        recipes=recipes,
        yardstick=sections.yardstick(document),
        answers=optional_sections.answers(document),
        rules=optional_sections.rules(document),
        search=optional_sections.search_price(document),
        survey=survey.rows(document),
        survey_header=survey.HEADER,
        survey_notes=[survey.sentence(document), *survey.left_out(document)],
    )


def _draw(document: Document, folder: Path) -> list[Picture]:
    from rankwise.report.figures import figures

    return draw_figures(figures(document), folder)
