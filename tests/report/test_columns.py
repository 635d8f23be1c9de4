"""A column of the tables of arms is one entry; the prose of a verdict is one entry too, and no key moves with it."""

import io

import pytest
from rich.console import Console

from rankwise.report import columns, render_table, wording
from rankwise.report.columns import Cell, Column
from rankwise.report.next_step import next_step
from rankwise.report.page import render_page
from rankwise.stats.verdict_words import UNDECIDED
from tests.report.fixtures import documents


def shown(document, **console):
    out = io.StringIO()
    render_table(document, Console(file=out, **console))
    return out.getvalue()


@pytest.mark.parametrize("table", ["arms", "costs"])
def test_one_entry_is_a_column_everywhere(table, monkeypatch):
    new = Column("Seeds run", lambda at: Cell(f"{len(at.arm['fresh'])} seeds"), page=table, terminal="seeds run")
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, new))
    document = documents.quick()
    page = render_page(document, [])
    assert page.count(">Seeds run<") == 1
    assert page.count('<td class="number">3 seeds</td>') == 3
    for text in (shown(document, width=200), shown(document, width=120, force_terminal=True)):
        assert "seeds run" in text
        assert text.count("3 seeds") == 3


def test_a_narrow_terminal_leaves_out_what_needs_room():
    document = documents.quick()
    assert "4.88M" in shown(document, width=120, force_terminal=True)
    assert "4.88M" not in shown(document, width=80, force_terminal=True)


def test_other_words_for_a_verdict_are_shown_and_decide_nothing(monkeypatch):
    document = documents.quick()
    before = next_step(document)
    monkeypatch.setitem(wording.VERDICTS, UNDECIDED, "not settled")
    assert next_step(document) == before
    page, text = render_page(document, []), shown(document, width=200)
    assert "not settled" in page
    assert "not settled" in text
    assert "undecided" not in text.split("\n\n")[2]
