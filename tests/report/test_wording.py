"""Numbers as people write them: rounding at the edges, and what is missing."""

from __future__ import annotations

import doctest
import math

import pytest

from rankwise.report import wording
from rankwise.report.clean import clean


def test_examples_in_the_docstrings() -> None:
    failed, tried = doctest.testmod(wording)
    assert tried >= 6
    assert failed == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (wording.learning_rate(1e-3), "1e-3"),
        (wording.learning_rate(9.9999e-4), "1e-3"),
        (wording.learning_rate(2.5e-5), "2.5e-5"),
        (wording.percent(0.0995), "10%"),
        (wording.percent(0.0994), "9.9%"),
        (wording.percent(0.0), "0%"),
        (wording.percent(-0.52), "-52%"),
        (wording.short_count(999_950), "1M"),
        (wording.short_count(999), "999"),
        (wording.size(999_999), "1 MB"),
        (wording.size(512), "512 B"),
        (wording.duration(59.7), "1 min 0 s"),
        (wording.nll(None), "–"),
        (wording.nll(math.nan), "–"),
        (wording.percent(math.inf), "–"),
        (wording.regret({"estimate": -0.0123, "low": -0.03, "high": 0.01}), "−0.012"),
        (wording.recovery(None), "–"),
    ],
)
def test_number(found: str, expected: str) -> None:
    assert found == expected


def test_clean_keeps_text_and_drops_what_cannot_be_shown() -> None:
    dirty = {"k\x07": ["Tiếng Việt\n\t<b>", "a\x1b[31mb", "c\ud800\ufffed", 1.5, None, True]}
    assert clean(dirty) == {"k": ["Tiếng Việt\n\t<b>", "a[31mb", "cd", 1.5, None, True]}
