"""Whatever code and pages cite can be opened by who reads them: a heading of docs/design, or a paper by its number."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "docs", "tests", "benchmarks", "examples")
FILES = sorted(
    [path for folder in FOLDERS for kind in ("py", "md", "yaml", "j2") for path in (ROOT / folder).rglob(f"*.{kind}")]
    + [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
)
DESIGN = re.compile(r"(docs/design/[\w.-]+\.md)(?:#([\w-]+))?")
MODULE = re.compile(r"`((?:\w+/)+\w+\.py)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
# Pages of the project's own planning and names for what people sent: nobody who has the repository has them.
UNKNOWN = re.compile(
    r"\b(?:DESIGN|METHODS|ENGINE|CONTINUAL|VERDICT|INTEROP|STYLE)(?:\.md|,?\s+(?:section\s+)?\d)"
    r"|\bseed\s+article|\bthe\s+note's\b|\buser's\s+note\b|shared/[A-Z]+\.md"
)


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def faults(path: Path, text: str) -> list[str]:
    """What a file cites and nobody can open; places as ``file:line``."""
    cited = [(match, ROOT / match[1]) for match in DESIGN.finditer(text)]
    if path.suffix == ".md":
        cited += [(match, path.parent / match[1] if match[1] else path) for match in LINK.finditer(text)]
    lost = [match for match, page in cited if not page.is_file() or (match[2] and match[2] not in headings(page))]
    lost += UNKNOWN.finditer(text)
    return [f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}" for match in lost]


def test_citations_lead_to_a_page_and_a_heading():
    texts = {path: path.read_text(encoding="utf-8") for path in FILES}
    assert sum(len(DESIGN.findall(text)) for path, text in texts.items() if path.suffix == ".py") > 20
    assert not [fault for path, text in texts.items() for fault in faults(path, text)]


def test_design_pages_name_files_that_are_there():
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "design").glob("*.md")}
    named = {(path.name, name) for path, text in pages.items() for name in MODULE.findall(text)}
    assert len(named) > 20
    assert not [one for one in named if not any((ROOT / at / one[1]).is_file() for at in ("src/rankwise", "."))]


def test_every_design_page_is_in_the_index():
    index = (ROOT / "docs" / "design" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs" / "design").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", index)) - {"README.md"}


def test_a_citation_that_nobody_can_open_is_found():
    page = "docs/design/" + "methods.md"
    broken = (f"see {page}#no-such-heading", f"see {page.replace('methods', 'method')}", "as METHODS" + " 14.5 says")
    here = Path(__file__)
    assert [len(faults(here, text)) for text in (*broken, f"see {page}#the-frozen-start")] == [1, 1, 1, 0]
