"""Prompt and completion are joined with nothing between: which pairs make one word, or one token, of two."""

import pytest

from rankwise.data import Example, Message
from rankwise.data.boundaries import about_boundaries

from .conftest import make_tokenizer


def plain(prompt: str, reply: str, *, chat: bool = False) -> Example:
    return Example((Message("user", prompt), Message("assistant", reply)), chat)


@pytest.mark.parametrize(
    ("prompt", "reply", "said"),
    [
        ("Answer", "yes", "'Answeryes'"),
        ("Cảm xúc của câu", "Tiêu cực", "'câuTiêu'"),
        ("2 + 3 is 1", "5", "'15'"),
        ("Answer:", "yes", ""),
        ("Answer", " yes", ""),
        ("Answer\n", "yes", ""),
        ("Answer: ", "yes", "('Answer: ' + 'yes')"),  # the tokenizer has " y" as one token
        ("Answer: ", "no", ""),
        ("这是问题", "答案", ""),  # no spaces between words in any case
        ("คำถาม", "คำตอบ", ""),
    ],
)
def test_what_merges_is_said_with_an_example(prompt: str, reply: str, said: str) -> None:
    tokenizer = make_tokenizer(merges=(("Ġ", "y"),))
    found = about_boundaries([plain(prompt, reply)] * 3, tokenizer)
    assert len(found) == bool(said)
    if said:
        assert said in found[0]
        assert "3 of 3 training examples" in found[0]


def test_conversations_and_rare_cases_are_left_alone() -> None:
    tokenizer = make_tokenizer()
    assert about_boundaries([plain("Answer", "yes", chat=True)] * 3, tokenizer) == []
    assert about_boundaries([plain("Answer", "yes"), *[plain("Answer:", "yes")] * 30], tokenizer) == []
    assert about_boundaries([], tokenizer) == []
