"""Documents of other questions than "which adapter matches": how each kind is written and printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.report import events_page, stream_page
from rankwise.report.plain import PlainPage
from rankwise.report.view import Document

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Kind:
    """One kind of document."""

    write: Callable[[Document, Path], Path]
    page: Callable[[Document], PlainPage]
    render: Callable[[Document, Any], None]


def show(document: Document, console: Console, page: Path | None) -> None:
    """Print a document of another kind, and where its page is."""
    from rich.markup import escape

    OTHER[document["results"]["kind"]].render(document, console)
    if page is not None:
        console.print(escape(f"Report: {page}"), highlight=False, soft_wrap=True)


OTHER = {
    "events": Kind(events_page.write, events_page.page, events_page.render),
    "stream": Kind(stream_page.write, stream_page.page, stream_page.render),
}
