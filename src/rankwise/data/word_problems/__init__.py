"""Our own one- and two-step word problems in English and Vietnamese, with computed worked solutions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from random import Random

from rankwise.data.examples import CompletionStyle, Example, ExampleSplits, Limits
from rankwise.data.styles import completion, question_example
from rankwise.data.word_problems.english import ENGLISH
from rankwise.data.word_problems.template import Language, Problem, draw
from rankwise.data.word_problems.vietnamese import VIETNAMESE
from rankwise.errors import UsageError

LANGUAGES = {"en": ENGLISH, "vi": VIETNAMESE}
TRIES = 200  # draws before a template counts as used up; 1 in 10 lands in the rarest split


def split_of(question: str) -> str:
    """The only split a question can be in, a function of its text: 70 % train, 20 % test, 10 % selection.

    So no question is in two splits, whatever the counts and seeds, and a larger set contains the smaller one.
    """
    share = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 10
    return "selection" if share == 0 else "test" if share <= 2 else "train"


def problems(language: Language, split: str, rng: Random) -> Iterator[Problem]:
    """Distinct problems of one split, going round all templates in a new order each time, until they run out."""
    seen: set[str] = set()
    alive = list(language.templates)
    while alive:
        for template in rng.sample(alive, len(alive)):
            for _ in range(TRIES):
                problem = draw(template, language.names, rng)
                if problem.question not in seen and split_of(problem.question) == split:
                    seen.add(problem.question)
                    yield problem
                    break
            else:
                alive.remove(template)


def _examples(
    language: Language, split: str, rng: Random, style: CompletionStyle, system: str | None
) -> Iterator[Example]:
    opening = language.system if system is None else system
    for problem in problems(language, split, rng):
        reply = completion(problem.explanation, problem.answer, style)
        yield question_example(problem.question, reply, opening)


def word_problems(
    codes: tuple[str, ...],
    limits: Limits,
    *,
    seed: int = 0,
    style: CompletionStyle = "hashes",
    system: str | None = None,
) -> ExampleSplits:
    """Generate the three splits in the languages ``codes`` ("en", "vi"), taking turns when there are two.

    ``system`` replaces the short default system message. Raises UsageError when more are asked for than exist.
    """

    def generate(split: str, count: int | None) -> tuple[Example, ...]:
        if count is None:
            raise UsageError(f"word-problems are generated, so limits.{split} must be a number, found None")
        streams = [
            _examples(LANGUAGES[code], split, Random(f"word-problems {code} {split} {seed}"), style, system)
            for code in codes
        ]
        found = tuple(islice((item for turn in zip(*streams, strict=False) for item in turn), count))
        if len(found) < count:
            raise UsageError(f"word-problems has only {len(found):,} {split} items; asked for {count:,}")
        return found

    templates = sum(len(LANGUAGES[code].templates) for code in codes)
    note = (
        f"generated word problems ({', '.join(codes)}), in distribution: train, selection and test share the same "
        f"{templates} templates; no problem is in two splits"
    )
    return ExampleSplits(
        generate("train", limits.train),
        generate("selection", limits.selection),
        generate("test", limits.test),
        (note,),
    )
