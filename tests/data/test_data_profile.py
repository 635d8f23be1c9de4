import pytest

from rankwise.data import Example, ExampleSplits, Message, profile
from rankwise.data.profile import Spread


def item(question: str, answer: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)), chat=False)


def many(count: int, start: int = 0) -> tuple[Example, ...]:
    return tuple(item(f"question {n:03d}", f"reply {n:03d}") for n in range(start, start + count))


CLEAN = ExampleSplits(many(60), many(10, 100), many(30, 200))


def test_spread_is_nearest_rank() -> None:
    assert Spread.of(list(range(1, 101))) == Spread(50, 96, 100, 1)
    assert Spread.of([7]) == Spread(7, 7, 7, 7)
    assert Spread.of([1, 9, 5]) == Spread(5, 9, 9, 1)


def test_clean_data_have_no_warnings_and_exact_lengths(tokenizer) -> None:
    found = profile(CLEAN, tokenizer, max_length=64)
    assert found.warnings == ()
    train = found.splits["train"]
    assert train.tokens == Spread(22, 22, 22, 22)  # a byte each, and the end-of-turn token
    assert train.targets == Spread(10, 10, 10, 10)
    assert (train.examples, train.measured, train.cut, train.dropped, train.repeats) == (60, 60, 0, 0, 0)


def test_cuts_and_drops_are_counted_before_the_cut(tokenizer) -> None:
    splits = ExampleSplits(
        (*many(57), item("q" * 30), item("q" * 18, "b" * 20), item("q")), CLEAN.selection, CLEAN.test
    )
    train = profile(splits, tokenizer, max_length=22).splits["train"]
    assert (train.cut, train.dropped) == (1, 1)
    assert train.tokens is not None
    assert train.tokens.longest == 39


def test_a_sample_is_measured_and_everything_counted(tokenizer) -> None:
    twice = ExampleSplits((*CLEAN.train, *CLEAN.train), CLEAN.selection, CLEAN.test)
    train = profile(twice, tokenizer, max_length=64, sample=5).splits["train"]
    assert (train.examples, train.measured, train.repeats) == (120, 5, 60)


def test_prompts_that_leak_with_another_reply(tokenizer) -> None:
    test = (*CLEAN.test, item("question 000", "other"), item("question 001", "reply 001"))
    assert profile(ExampleSplits(CLEAN.train, CLEAN.selection, test), tokenizer, max_length=64).same_prompt == 1


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        (ExampleSplits(CLEAN.train[:49], CLEAN.selection, CLEAN.test), "only 49 train examples; below 50"),
        (ExampleSplits(CLEAN.train, CLEAN.selection[:9], CLEAN.test), "only 9 selection examples"),
        (ExampleSplits(CLEAN.train, CLEAN.selection, CLEAN.test[:29]), "only 29 test examples"),
        (ExampleSplits(CLEAN.train * 2, CLEAN.selection, CLEAN.test), "60 of 120 train examples repeat"),
        (ExampleSplits(CLEAN.train, CLEAN.selection, CLEAN.test, leaked=3), "3 examples were in a held-out split too"),
        (ExampleSplits(CLEAN.train, CLEAN.selection, (*CLEAN.test, item("question 000"))), "1 held-out prompts"),
        (
            ExampleSplits((*CLEAN.train, *[item("q" * 90)] * 4), CLEAN.selection, CLEAN.test),
            "4 of 64 train, 0 of 10 selection, 0 of 30 test examples are dropped",
        ),
        (
            ExampleSplits((*CLEAN.train, *[item("q", "b" * 90)] * 4), CLEAN.selection, CLEAN.test),
            "4 of 64 train, 0 of 10 selection, 0 of 30 test examples are cut at 64 tokens.*use --max-length 92",
        ),
        (
            ExampleSplits(tuple(item(f"question {n}", "yes") for n in range(60)), CLEAN.selection, CLEAN.test),
            "replies are short (4 tokens in the median",
        ),
        (
            ExampleSplits(tuple(item(f"question {n}", "always") for n in range(60)), CLEAN.selection, CLEAN.test),
            "60 of 60 training examples have the same reply ('always')",
        ),
    ],
)
def test_warnings(tokenizer, splits: ExampleSplits, match: str) -> None:
    import re

    said = profile(splits, tokenizer, max_length=64).warnings
    pattern = ".*".join(re.escape(part) for part in match.split(".*"))
    assert any(re.search(pattern, sentence) for sentence in said), said


def test_nothing_to_learn(tokenizer) -> None:
    with pytest.raises(ValueError, match="no training example"):
        profile(CLEAN, tokenizer, max_length=5)
