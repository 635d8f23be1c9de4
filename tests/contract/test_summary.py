"""The line at the end of `pytest tests/contract`: how many methods, how many invariants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from .conftest import summary
from .table import ROWS


def report(row, nodeid):
    return SimpleNamespace(nodeid=nodeid, user_properties=[("contract row", row)] if row else [])


@pytest.mark.parametrize("row", ROWS[:1], ids=lambda row: row.name)
def test_checks_over_rows_are_marked(row, request):
    assert ("contract row", row.name) in request.node.user_properties


def test_rows_and_invariants_are_counted_once():
    passed = [
        report("lora", "t.py::test_merge[llama-lora]"),
        report("lora", "t.py::test_merge[gpt2-lora]"),
        report("dora", "t.py::test_merge[llama-dora]"),
        report("dora", "t.py::test_save[dora]"),
        report(None, "t.py::test_other"),
    ]
    assert summary(passed, []) == ["2 methods x 2 invariants, 4 checks passed, 0 failed"]
    assert summary(passed[:1], passed[3:4]) == [
        "2 methods x 2 invariants, 1 checks passed, 1 failed",
        "failed: dora: test_save",
    ]
    assert summary([passed[-1]], []) == []
