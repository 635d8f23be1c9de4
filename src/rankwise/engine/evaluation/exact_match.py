"""Exact match: greedy replies to test questions, each right or wrong.

The questions are the first ones of the split whose reference reply has a short answer (see
:mod:`rankwise.data.answers`), so every run answers the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.data import Encoded
from rankwise.data.answers import Answer, gold_answer, gold_ids, is_right
from rankwise.engine.evaluation.generate import greedy, prompt_of
from rankwise.models import Base

ROOM = 1.5  # a reply may be this many times longer than the longest reference reply


@dataclass(frozen=True)
class Quiz:
    """Questions with known answers.

    Attributes:
        places: indices into the split they come from.
        prompts: token ids shown to the model, one row per question.
        golds: the answers.
        max_new_tokens: room for a reply.
    """

    places: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...]
    golds: tuple[Answer, ...]
    max_new_tokens: int

    @property
    def commonest(self) -> float:
        """Share of the commonest answer: what always giving one answer would score."""
        texts = [gold.text for gold in self.golds]
        return max(texts.count(text) for text in set(texts)) / len(texts)

    def take(self, base: Base) -> tuple[bool, ...]:
        """Answer every question with ``base.model`` as it stands; one entry per question."""
        replies = greedy(base, self.prompts, max_new_tokens=self.max_new_tokens)
        return tuple(is_right(reply, gold) for reply, gold in zip(replies, self.golds, strict=True))


def make_quiz(examples: Sequence[Encoded], tokenizer: Any, count: int, room: int | None = None) -> Quiz | None:
    """Take the first ``count`` examples with a short answer; None when there are none.

    Args:
        room: tokens that question and reply may have together; questions too long for that are left out.
    """
    chosen: list[tuple[int, Encoded, Answer]] = []
    for place, example in enumerate(examples):
        if len(chosen) == count:
            break
        gold = gold_answer(tokenizer.decode(gold_ids(example), skip_special_tokens=True))
        if gold is not None:
            chosen.append((place, example, gold))
    new = int(max((len(gold_ids(example)) for _, example, _ in chosen), default=0) * ROOM) + 8
    chosen = [one for one in chosen if room is None or len(prompt_of(one[1])) + new <= room]
    if not chosen:
        return None
    return Quiz(
        tuple(place for place, _, _ in chosen),
        tuple(prompt_of(example) for _, example, _ in chosen),
        tuple(gold for _, _, gold in chosen),
        new,
    )
