"""Findings' figures: ticks where values are, labels on narrow log axes, lines that coincide; tables as Markdown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankwise.analysis.finding import Axis, Finding, Panel
from rankwise.report.figures.theme import NARROW, WIDE
from rankwise.report.finding_figures import draw_finding
from rankwise.report.findings import figure, markdown, write_finding
from rankwise.report.svg import draw
from rankwise.report.ticks import few, log_ticks


def lines(xs: tuple[float, ...], **series: Any) -> Panel:
    rows = tuple({"x": x, "y": at(x), "arm": name} for name, at in series.items() for x in xs)
    return Panel("title", "lines", rows, Axis("x", "rank", log=True), Axis("y", "error", log=True), "arm")


def labels(panel: Panel, layout: Any = WIDE) -> set[str]:
    """All numbers that are written in the picture."""
    svg = draw(draw_finding((panel,), layout))
    return {text for text in re.findall(r">([^<>]+)</text>", svg) if text[0].isdigit()}


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_the_ranks_that_were_used_have_the_ticks(layout: Any) -> None:
    panel = lines((1, 4, 16, 64, 256), measured=lambda r: 1000 * r**-0.5)
    assert {"1", "4", "16", "64", "256"} <= labels(panel, layout)
    assert not {"2", "5", "20", "50"} & labels(panel, layout)


def test_many_places_have_round_ticks() -> None:
    panel = lines(tuple(range(1, 400)), measured=lambda r: 1e4 + r)
    assert {"1", "10", "100"} <= labels(panel)
    assert not {"7", "11"} & labels(panel)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1, 1000, [1, 10, 100, 1000]),
        (1e-6, 1, [1e-6, 1e-4, 1e-2, 1]),  # at most six labels
        (0.07, 1.3, [0.1, 0.3, 1]),
        (0.18, 0.74, [0.2, 0.3, 0.5, 0.7]),
        (0.31, 0.3228, [0.31, 0.315, 0.32]),
        (2.0, 2.0, [2.0]),
    ],
)
def test_a_log_axis_has_labels(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == ticks


@pytest.mark.parametrize("low", [0.0731, 0.31, 0.999, 1.01, 47.3, 3.3e-5])
@pytest.mark.parametrize("times", [1.0001, 1.003, 1.05, 1.3, 2.0, 7.0, 55.0, 1e4, 1e9])
def test_no_log_axis_has_fewer_than_two_labels_or_too_many(low: float, times: float) -> None:
    ticks = log_ticks(low, low * times)
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0]
    assert ticks[-1] <= low * times


def test_few_values_are_ticks_themselves() -> None:
    assert few([4, 1, 1, 16]) == [1, 4, 16]
    assert few(range(11)) is None


def strokes(panel: Panel) -> list[tuple[str, float]]:
    """(dashes, width) of the lines in the order in which they are drawn."""
    svg = draw(draw_finding((panel,), WIDE))
    drawn = [tag for tag in re.findall(r"<path [^>]*>", svg) if 'stroke-linejoin="round"' in tag or "L" in tag]
    found = [
        (re.search(r'stroke-dasharray="([^"]*)"', tag), re.search(r'stroke-width="([^"]*)"', tag)) for tag in drawn
    ]
    return [(dash[1], float(width[1])) for dash, width in found if dash and width and float(width[1]) > 1]


def test_lines_that_coincide_are_both_seen() -> None:
    def same(r: float) -> float:
        return 1 / r

    drawn = strokes(lines((1, 4, 16), one=same, two=same, three=same))
    dashes, widths = zip(*drawn[:3], strict=True)
    assert len(set(dashes)) == 3
    assert list(widths) == sorted(set(widths), reverse=True), "a later line leaves a rim of the one below"


def test_a_line_alone_is_solid() -> None:
    panel = lines((1, 4, 16), one=lambda r: 1 / r)
    layers = draw_finding((panel,), WIDE).to_dict()["vconcat"][0]["hconcat"][0]["layer"]
    assert all("strokeDash" not in layer["encoding"] for layer in layers)


def test_a_bar_in_a_header_does_not_break_the_table() -> None:
    table = {"title": "t", "columns": ["module", "|U'WV|, update's"], "rows": [["a|b", 1.0]]}
    texts = dict.fromkeys(("analysis", "word", "claim", "why", "rule", "interpretation", "command"), "text")
    page = markdown({**texts, "setup": {}, "tables": [table], "caveats": []}, "figure.svg")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [3, 3, 3]
    assert "¦U'WV¦, update's" in rows[0]


@pytest.mark.parametrize(("ys", "align"), [((0.3, 0.88, 0.92), "left"), ((1.0, 0.6, 0.4), "right")])
def test_the_reference_line_is_named_where_there_is_room(ys: tuple[float, ...], align: str) -> None:
    rows = tuple({"x": x, "y": y, "arm": "a"} for x, y in enumerate(ys))
    panel = Panel("title", "lines", rows, Axis("x", "x"), Axis("y", "y"), "arm", rule=(0.9, "reference"))
    layers = draw_finding((panel,), WIDE).to_dict()["vconcat"][0]["hconcat"][0]["layer"]
    assert [layer["mark"]["align"] for layer in layers if layer["mark"]["type"] == "text"] == [align]


def test_a_picture_can_be_drawn_again_from_the_json(tmp_path: Path) -> None:
    panel = lines((1, 4, 16), one=lambda r: 1 / r, two=lambda r: 2 / r)
    path = tuple({"x": x, "y": 1.0} for x in (1, 16))
    points = replace(panel, kind="points", path=path, rule=(0.5, "half"))
    finding = Finding("toys", "c", {}, "undecided", "r", "w", "i", (panel, points))
    write_finding(finding, tmp_path, "rankwise analyze toys")
    assert figure(json.loads((tmp_path / "finding.json").read_text())) == (tmp_path / "figure.png").read_bytes()
