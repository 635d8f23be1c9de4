"""The generated pages are current, links lead somewhere, and both languages say the same numbers."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]


def test_the_catalogue_page_is_current():
    from docs import build

    assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == build.methods_page(), "run make docs"


def test_the_page_of_results_json_is_current():
    from docs.results_page import results_page

    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results_page(), "run make docs"


def test_links_lead_somewhere():
    wrong = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert not wrong, "\n".join(wrong)


def test_readme_names_the_two_commands_that_are_all_the_set_up():
    for name in ("README.md", "README.vi.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "make study" in text
        assert "make test" in text
        assert "@RESULT@" not in text


def test_both_readmes_show_the_same_numbers():
    pattern = r"\d+\.\d+ ?%"
    english, vietnamese = (
        sorted(re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"))) for name in ("README.md", "README.vi.md")
    )
    assert english
    assert english == vietnamese


def test_the_coverage_page_says_what_its_numbers_say():
    import json

    from docs import coverage
    from docs.simulation import Cell

    folder = ROOT / "docs" / "studies"
    cells = tuple(Cell(**cell) for cell in json.loads((folder / "coverage.json").read_text(encoding="utf-8"))["cells"])
    assert len(cells) == 90
    assert all(cell.replicates >= 2000 for cell in cells)
    assert (folder / "coverage.md").read_text(encoding="utf-8") == coverage.page(cells), "run make simulation-figure"


def test_the_page_of_sequential_looks_says_what_its_numbers_say():
    """And they are within what the issue grants: 2.5 % and two standard errors in every cell."""
    import json

    from docs.sequential.grid import CELLS, FAMILIES, POWERS, Found
    from docs.sequential.page import least, limit, page

    folder = ROOT / "docs" / "studies"
    found = Found.from_json(json.loads((folder / "sequential.json").read_text(encoding="utf-8")))
    assert [cell.setting for cell in found.cells] == list(CELLS)
    assert [family.setting for family in found.families] == FAMILIES
    assert {(row.noise, row.examples, row.paired) for row in found.powers} == {setting[:3] for setting in POWERS}
    for cell in found.cells:
        assert cell.replicates >= 10_000
        assert max(cell.match, cell.short, cell.short_gain_only, cell.beats) <= limit(cell.replicates), cell
        assert max(cell.match_extended, cell.short_extended) <= limit(cell.replicates), cell
        assert min(cell.covered, cell.covered_at_stop) >= least(cell.replicates), cell
    for family in found.families:
        assert max(family.match, family.short, family.match_late, family.short_late) <= limit(family.replicates)
    assert (folder / "sequential.md").read_text(encoding="utf-8") == page(found), "run make sequential-figure"
