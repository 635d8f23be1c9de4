import re
from random import Random

import pytest

from rankwise.data import Limits, load_examples
from rankwise.data.word_problems import LANGUAGES, TRIES, split_of, word_problems
from rankwise.data.word_problems.template import Template, draw, solve
from rankwise.errors import UsageError

ALL = [(code, template) for code, language in LANGUAGES.items() for template in language.templates]


def test_there_are_enough_templates_of_each_kind() -> None:
    for language in LANGUAGES.values():
        steps = [template.steps.count(";") + 1 for template in language.templates]
        assert set(steps) == {1, 2}
        assert len(steps) >= 32
        assert len({template.story for template in language.templates}) == len(steps)


@pytest.mark.parametrize(("code", "template"), ALL, ids=lambda value: getattr(value, "story", value))
def test_template(code: str, template: Template) -> None:
    rng = Random(7)
    for _ in range(40):
        problem = draw(template, LANGUAGES[code].names, rng)
        assert not re.search(r"[{}]", problem.question)
        told = set(re.findall(r"\d+", problem.question))
        values: set[str] = set()
        for line in problem.explanation.split("\n"):
            left, value = line.split(" = ")
            # Every number of the solution comes from the story, an earlier line, or is the 2 of "half" and "both ways".
            assert set(re.findall(r"\d+", left)) <= told | values | {"2"}
            assert eval(left) == int(value) >= 1  # independent of solve(); true division, so exactness is checked
            values.add(value)
        assert problem.answer == problem.explanation.rsplit(" = ", 1)[1]
        size = len(problem.question + problem.explanation + problem.answer)
        assert size <= (85 if code == "vi" else 110)


@pytest.mark.parametrize(("code", "template"), ALL, ids=lambda value: getattr(value, "story", value))
def test_every_number_drawn_is_used_in_the_story_and_in_the_solution(code: str, template: Template) -> None:
    written = set(re.findall(r"\{([abc])\}", template.story))
    assert written == set(re.findall(r"\b[abc]\b", template.steps))
    assert ("{thing}" in template.story) == bool(template.things)


def test_vietnamese_is_short_on_average() -> None:
    examples = load_examples("word-problems:vi", limits=Limits(360, 1, 1)).train
    sizes = [len(example.messages[1].content + example.messages[2].content) for example in examples]
    assert sum(sizes) / len(sizes) < 75  # with "#### ": about 57 tokens of SmolLM2


def test_solve_refuses_what_is_not_a_whole_positive_number() -> None:
    assert solve("a / b", {"a": 7, "b": 2}) is None
    assert solve("a - b", {"a": 3, "b": 3}) is None
    assert solve("a / b", {"a": 3, "b": 0}) is None
    assert solve("a / 2; _ - b", {"a": 8, "b": 1}) == ("8 / 2 = 4\n4 - 1 = 3", 3)


def test_same_seed_same_items_other_seed_other_items() -> None:
    limits = Limits(40, 10, 10)
    assert word_problems(("en", "vi"), limits, seed=3) == word_problems(("en", "vi"), limits, seed=3)
    assert word_problems(("en",), limits, seed=3).train != word_problems(("en",), limits, seed=4).train


def test_golden_first_item() -> None:
    # Fails if the stream of problems ever changes, which would void recorded studies.
    first = word_problems(("en",), Limits(1, 1, 1), seed=0).train[0]
    assert [message.content for message in first.messages] == GOLDEN


def test_splits_are_disjoint_without_repeats_and_nested_in_their_size() -> None:
    small, large = (word_problems(("en", "vi"), Limits(*sizes), seed=0) for sizes in ((50, 10, 20), (900, 120, 250)))
    texts = [example.text for part in (large.train, large.selection, large.test) for example in part]
    assert len(texts) == len(set(texts)) == 1270
    assert large.train[:50] == small.train
    assert large.test[:20] == small.test
    # Disjoint between seeds too: a question's split is a function of its text.
    other = word_problems(("en", "vi"), Limits(900, 120, 250), seed=1)
    assert {e.messages[1].content for e in other.train}.isdisjoint(e.messages[1].content for e in large.test)


def test_languages_take_turns_with_their_own_system_message() -> None:
    mixed = word_problems(("en", "vi"), Limits(6, 2, 2)).train
    assert [example.messages[0].content for example in mixed] == ["Solve the problem.", "Giải bài toán."] * 3
    spoken = word_problems(("en",), Limits(1, 1, 1), system="Think.").train[0]
    assert spoken.messages[0].content == "Think."


def test_styles() -> None:
    hashes = word_problems(("en",), Limits(1, 1, 1)).train[0].messages[-1].content
    think = word_problems(("en",), Limits(1, 1, 1), style="think").train[0].messages[-1].content
    explanation, answer = hashes.split("\n#### ")
    assert think == f"<think>\n{explanation}\n</think>\n{answer}"


def test_notes_say_in_distribution() -> None:
    assert "in distribution" in word_problems(("en",), Limits(1, 1, 1)).notes[0]


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_round_goes_through_every_template_once(code: str) -> None:
    templates = LANGUAGES[code].templates
    asked = [e.messages[1].content for e in word_problems((code,), Limits(len(templates), 1, 1)).train]
    for template in templates:
        pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(template.story))
        assert any(re.fullmatch(pattern, question) for question in asked)


def test_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"limits\.test must be a number"):
        word_problems(("en",), Limits(1, 1, None))


def test_running_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from rankwise.data import word_problems as room
    from rankwise.data.word_problems.template import Language

    tiny = Language("Solve.", ("Ana", "Ben"), (Template("{a} + {b}?", "a + b", a=(1, 3), b=(1, 3)),))
    monkeypatch.setitem(room.LANGUAGES, "en", tiny)
    there = sum(split_of(f"{a} + {b}?") == "train" for a in range(1, 4) for b in range(1, 4))
    assert TRIES >= 200
    assert len(word_problems(("en",), Limits(there, 0, 0)).train) == there
    with pytest.raises(UsageError, match=f"only {there} train items; asked for 50"):
        word_problems(("en",), Limits(50, 0, 0))


GOLDEN = [
    "Solve the problem.",
    "A baker fills 10 trays with 22 rolls each and packs 11 per box. How many boxes?",
    "10 * 22 = 220\n220 / 11 = 20\n#### 20",
]
