"""The tutorial's parameter table: computed values, the reading that explains it, and the page in docs/."""

from pathlib import Path

import pytest
from docs.tutorial import ROWS, counts, page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("model", "billions"),
    [("Qwen3-8B", (0.4530, 0.2454, 0.6984, 0.2265)), ("Llama-3.1-8B", (0.4530, 0.2181, 0.6711, 0.2265))],
)
def test_computed_values(model, billions):
    mlp, attention, everything, half = found = counts(model, head=False)
    assert tuple(round(n / 1e9, 4) for n in found) == billions
    assert mlp + attention == everything
    assert 2 * half == mlp


def test_an_adapter_on_the_head_gives_all_four_printed_numbers():
    mlp, attention, everything, half = found = counts("Llama-3.1-8B", head=True)
    assert [f"{n / 1e9:.2f}" for n in found] == [row.printed for row in ROWS] == ["0.49", "0.25", "0.70", "0.24"]
    head = 256 * (4096 + 128_256)
    assert mlp + attention - head == everything
    assert mlp - 2 * half == 0


@pytest.mark.parametrize(("model", "head"), [("Qwen3-8B", False), ("Qwen3-8B", True), ("Llama-3.1-8B", False)])
def test_no_other_column_does(model, head):
    assert [f"{n / 1e9:.2f}" for n in counts(model, head=head)] != [row.printed for row in ROWS]


def test_the_page_is_current():
    assert (DOCS / "tutorial-table.md").read_text(encoding="utf-8") == page()
