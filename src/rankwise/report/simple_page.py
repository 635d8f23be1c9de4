"""A plain page: answers in words, tables, figures, a log, the set-up. What the pages of other questions are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankwise.files import write_text
from rankwise.report.figures.base import Figure
from rankwise.report.pictures import draw_figures
from rankwise.report.templating import environment
from rankwise.studies.results.schema import Fault


@dataclass(frozen=True)
class Table:
    """One table: column names and rows of text, the first column naming the row."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""
    id: str = ""


@dataclass(frozen=True)
class PlainPage:
    """What a plain page shows; every text is escaped by the template engine.

    Attributes:
        answers: language code and sentences.
        log: lines of what happened.
        setup: rows of name and value.
    """

    kicker: str
    title: str
    answers: Sequence[tuple[str, Sequence[str]]]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    setup: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    log: Sequence[str] = ()
    faults: Sequence[Fault] = ()


def write_plain(page: PlainPage, folder: Path) -> Path:
    """Write ``folder/report.html`` and ``folder/figures/*.png``; return the page's path."""
    from rankwise.report.figures.theme import dark_rules

    pictures = draw_figures(page.figures, folder)
    template = environment().get_template("plain.html.j2")
    text = template.render(page=page, pictures=pictures, dark_figures=dark_rules(".chart"))
    write_text(folder / "report.html", text)
    return folder / "report.html"


def markdown(page: PlainPage, command: str, pictures: Mapping[str, str]) -> str:
    """Return the page as Markdown for docs/studies: answers, tables, figures, set-up, command.

    Args:
        pictures: by name of a figure, the path of its image.
    """
    lines = [f"# {page.title}", ""]
    for language, sentences in page.answers:
        lines += [f"**{language}**", "", *(f"- {sentence}" for sentence in sentences), ""]
    for figure in page.figures:
        if figure.name in pictures:
            lines += [f"![{figure.title}]({pictures[figure.name]})", ""]
    for table in page.tables:
        lines += [f"## {table.title}", "", "| " + " | ".join(map(_cell, table.header)) + " |"]
        lines += ["|" + "---|" * len(table.header)]
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table.rows]
        lines += ["", *([table.note, ""] if table.note else [])]
    lines += ["## Set-up", "", *(f"- {name}: {value}" for name, value in page.setup), ""]
    lines += [*(f"- {note}" for note in page.notes), "", "```", command, "```", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
