"""``methods --composes`` as a person reads it: whole words within the width, every choice, reasons numbered."""

from __future__ import annotations

import re

import pytest

from rankwise.adapters.events import EVENTS
from rankwise.adapters.inits import INITS
from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.cli.main import main
from rankwise.cli.pair_table import lines
from rankwise.methods.compatibility_table import Pair, pairs


@pytest.fixture(scope="module")
def printed():
    """What a pipe of 80 columns gets."""
    return lines(pairs(), 80)


def test_eighty_columns_are_enough(printed, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["methods", "--composes"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in shown] == printed
    assert max(map(len, shown)) <= 80
    assert "…" not in "".join(shown)


def test_every_choice_is_there_whole(printed):
    blocks = "\n".join(printed).split("\n\n")
    assert [block.split("\n", 1)[0] for block in blocks[:-1]] == list(PARAMETRIZATIONS)
    for block in blocks[:-1]:
        words = set(re.findall(r"[\w/+().-]+", block.replace(",", " ").replace(";", " ")))
        for axis, registry in (("init", INITS), ("event", EVENTS)):
            line = re.search(rf"^  {axis} +(\S+)", block, re.MULTILINE)
            assert line, (block, axis)
            assert line[1] == "all" or set(registry) <= words, (block, axis)


def test_a_reason_is_said_once_and_in_words(printed):
    last = printed[printed.index("not because") + 1 :]
    reasons = re.sub(r"\s+", " ", " ".join(last))
    numbers = [int(line[:4]) for line in last if line[:4].strip()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < 45, "as many reasons as refused pairs: nobody reads that"
    assert "unknown factor" not in reasons
    assert "could not move" in reasons
    used = {int(n) for line in printed[: -len(last)] for n in re.findall(r"\((\d+)\)", line)}
    assert used == set(numbers)


def test_one_line_per_axis():
    found = [
        Pair("p", "init", "a", ""),
        Pair("p", "init", "b", "parametrization 'p' hates init 'b', found 3; use 'a'"),
        Pair("p", "event", "e", ""),
        Pair("p", "event", "f", ""),
        Pair("q", "init", "a", "parametrization 'q' hates init 'a', found 4; use 'a'"),
    ]
    assert lines(found, 80) == [
        "p",
        "  init        a; not b (1)",
        "  event       all",
        "",
        "q",
        "  init        none; not a (1)",
        "",
        "not because",
        "   1  the parametrization hates the init; use 'a'",
    ]
