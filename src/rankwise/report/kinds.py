"""Kinds of result documents: how each is written as a page and printed. A study of arms has no ``kind``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.report import events_page, stream_page
from rankwise.report.clean import clean
from rankwise.report.page import write_study
from rankwise.report.simple_page import PlainPage
from rankwise.report.terminal import render_study
from rankwise.studies.results.schema import AnyDocument

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Kind:
    """One kind of document; its functions take documents of their own kind only."""

    write: Callable[[Any, Path], Path]
    page: Callable[[Any], PlainPage]
    render: Callable[[Any, Any], None]


OTHER = {
    "events": Kind(events_page.write, events_page.page, events_page.render),
    "stream": Kind(stream_page.write, stream_page.page, stream_page.render),
}


def write_report(document: AnyDocument, folder: Path) -> Path:
    """Write ``folder/report.html`` and ``folder/figures/*.png`` from a result document; return the page's path.

    The page's bytes depend on ``document`` alone, except that it mentions ``best/`` and ``recipes/`` where they are.
    A figure without data is left out, and a PNG of it from an earlier report is removed.
    """
    cleaned = clean(document)
    kind = cleaned["results"].get("kind")
    return OTHER[kind].write(cleaned, folder) if kind else write_study(cleaned, folder)


def render_table(document: AnyDocument, console: Console, *, page: Path | None = None) -> None:
    """Print the verdict to ``console``; ``page`` is the path of `report.html`, when there is one.

    In a terminal the table is drawn and colored; into a pipe or file it is plain aligned text, one line per arm.
    Text from the data is escaped and control characters are dropped, so a name cannot style or break the output.
    """
    from rich.markup import escape

    cleaned = clean(document)
    kind = cleaned["results"].get("kind")
    if not kind:
        render_study(cleaned, console, page=page)
        return
    OTHER[kind].render(cleaned, console)
    if page is not None:
        console.print(escape(f"Report: {page}"), highlight=False, soft_wrap=True)
