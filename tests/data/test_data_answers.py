"""Which answers are the same answer."""

from decimal import Decimal

import pytest

from rankwise.data import Example, Message
from rankwise.data.answers import gold_answer, gold_ids, is_right, readings
from rankwise.data.render import encode
from rankwise.models import byte_tokenizer

RIGHT = [
    ("4 * 3 = 12\n#### 12", "4 * 3 = 12\n#### 12"),
    ("x\n#### 12", "#### 12.0"),
    ("x\n#### 12", "The answer is 12."),  # a model that was never taught the marker
    ("x\n#### 12", "3 + 9 = 12 apples"),
    ("x\n#### 1,250", "x\n#### $1250"),
    ("x\n#### 1250", "x\n#### 1.250 đồng"),
    ("x\n#### 2,5", "x\n#### 2.5 kg"),
    ("x\n#### 1.234.567", "1,234,567"),
    ("x\n#### -3", "2 - 5 = -3"),
    ("x\n#### 18", "#### 18 dollars"),
    ("<think>\n4 * 3 = 12\n</think>\n12", "<think>\n5 * 3 = 15\n</think>\nĐáp số: 12"),
    ("51.0", "51"),
    ("25 %", "25"),
    ("Sports", "sports."),
    ("0421 amber 2133 lemon", "0421 amber 2133 lemon"),
    ("x\n#### 1/2", "x\n#### 1/2"),
    ("Cả hai.", "cả hai"),
]
WRONG = [
    ("x\n#### 12", "#### 120"),
    ("x\n#### 12", "12 apples, then 13"),
    ("x\n#### 12", "12 * 2\n#### 24"),
    ("x\n#### 3", "2 - 5 = -3"),
    ("x\n#### 12", "no idea"),
    ("x\n#### 12", ""),
    ("x\n#### 12", "####"),
    ("<think>\na\n</think>\n12", "<think>\n12"),  # cut before an answer
    ("<think>\na\n</think>\n12", "<think>\n12\n</think>\n"),
    ("Sports", "Business"),
    ("Sports", "Sports or Business"),
    ("0421 amber 2133 lemon", "0421 amber 2133 lime"),
    ("x\n#### 1/2", "x\n#### 2"),
    ("x\n#### 0.5", "x\n#### 5"),
    ("x\n#### 2.5", "x\n#### 25"),
]


@pytest.mark.parametrize(("gold", "reply"), RIGHT)
def test_right(gold, reply):
    assert is_right(reply, gold_answer(gold))


@pytest.mark.parametrize(("gold", "reply"), WRONG)
def test_wrong(gold, reply):
    assert not is_right(reply, gold_answer(gold))


def test_every_gold_reply_is_right_by_itself():
    for gold, _ in RIGHT + WRONG:
        assert is_right(gold, gold_answer(gold)), gold


@pytest.mark.parametrize("reply", ["", "####", "two\nlines", "long words " * 20, "<think>\nnever ends"])
def test_a_reply_without_a_short_answer_has_none(reply):
    assert gold_answer(reply) is None


def test_readings():
    assert readings("1.234") == {Decimal("1.234"), Decimal(1234)}
    assert readings("0.500") == {Decimal("0.5")}
    assert readings("1,23") == {Decimal("1.23")}
    assert readings("12") == {Decimal(12)}
    assert readings("1 250 000") == {Decimal(1250000)}
    assert readings("1.2.3") == frozenset()


def test_the_gold_reply_of_an_encoded_example():
    tokenizer = byte_tokenizer()
    turns = (Message("user", "a"), Message("assistant", "first"), Message("user", "b"), Message("assistant", "second"))
    encoded = encode(Example(turns), tokenizer)
    assert tokenizer.decode(gold_ids(encoded), skip_special_tokens=True) == "first"
