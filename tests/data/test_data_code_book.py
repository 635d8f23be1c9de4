import re

import pytest

from rankwise.data import Limits
from rankwise.data.code_book import CAPACITY, WORDS, code_book
from rankwise.errors import UsageError


def test_facts_are_distinct_and_deterministic() -> None:
    book = code_book(Limits(500, 40, 80), seed=2)
    assert book == code_book(Limits(500, 40, 80), seed=2)
    assert book.train != code_book(Limits(500, 40, 80), seed=3).train
    names = {example.messages[1].content for example in book.train}
    codes = [example.messages[2].content for example in book.train]
    assert len(names) == 500
    assert len(set(codes)) == 500
    for code in codes:
        assert re.fullmatch(r"\d{4} [a-z]+ \d{4} [a-z]+", code)
    assert len(set(WORDS)) == 64


def test_selection_and_test_ask_facts_of_train() -> None:
    book = code_book(Limits(100, 30, 60))
    assert set(book.selection) < set(book.train)
    assert set(book.test) < set(book.train)
    assert set(book.selection).isdisjoint(book.test)
    assert (len(book.selection), len(book.test)) == (30, 60)
    assert "same facts as train" in book.notes[0]


def test_a_small_book_says_what_it_lacks() -> None:
    book = code_book(Limits(10, 4, 20))
    assert (len(book.selection), len(book.test)) == (4, 10)
    assert "overlap in 4 facts" in book.notes[1]
    assert "test has 10 of the 20" in book.notes[2]


def test_limits() -> None:
    with pytest.raises(UsageError, match=r"limits\.train must be a number"):
        code_book(Limits(None, 1, 1))
    with pytest.raises(UsageError, match=f"names for {CAPACITY:,} agents"):
        code_book(Limits(CAPACITY + 1, 1, 1))
