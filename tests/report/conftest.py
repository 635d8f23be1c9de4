"""Pages written once per session; drawing is the slow part."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from rankwise.report import write_report

from .fixtures import documents

KINDS = ("quick", "no_verdict", "screened", "gone_wrong", "all_diverged", "hostile")


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str, Page]]:
    """Each kind of document written once: folder, HTML, parsed page."""
    pages = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        html = write_report(getattr(documents, kind)(), folder).read_text(encoding="utf-8")
        pages[kind] = (folder, html, Page(html))
    return pages
