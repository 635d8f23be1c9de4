import importlib.util
import sys
from types import ModuleType

import pytest

from rankwise.data import Limits, is_generated, load_examples
from rankwise.data.word_problems import split_of
from rankwise.errors import UsageError

SMALL = Limits(20, 4, 8)
needs_it = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None,
    reason="reasoning-gym is not installed; pip install 'rankwise[demo]'",
)


def pretend(monkeypatch: pytest.MonkeyPatch, item) -> None:
    """Stand in for reasoning-gym: one generator, ``count``, whose item number n is ``item(n)``."""
    package, factory = ModuleType("reasoning_gym"), ModuleType("reasoning_gym.factory")
    package.create_dataset = lambda name, size, seed: [item(seed + n) for n in range(size)]  # type: ignore[attr-defined]
    factory.DATASETS = {"count": None}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", package)
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", factory)


@needs_it
def test_gsm_symbolic_gives_worked_solutions() -> None:
    splits = load_examples("reasoning-gym:gsm_symbolic", limits=SMALL)
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (20, 4, 8)
    for example in splits.train:
        explanation, answer = example.messages[-1].content.split("\n#### ")
        assert len(explanation) > 20
        assert answer.replace(".", "").lstrip("-").isdigit()
    thinking = load_examples("reasoning-gym:gsm_symbolic", limits=SMALL, completion_style="think")
    assert all(e.messages[-1].content.startswith("<think>\n") for e in thinking.train)


@needs_it
@pytest.mark.parametrize("name", ["chain_sum", "gcd", "letter_counting", "spell_backward", "caesar_cipher"])
def test_other_generators_answer(name: str) -> None:
    one, again, other = (load_examples(f"reasoning-gym:{name}", limits=SMALL, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert len(set(one.train) & set(other.train)) < 4  # some generators have few texts


@needs_it
def test_splits_are_disjoint_even_between_seeds_and_nested_in_their_size() -> None:
    small = load_examples("reasoning-gym:chain_sum", limits=SMALL)
    large = load_examples("reasoning-gym:chain_sum", limits=Limits(200, 30, 60), seed=0)
    other = load_examples("reasoning-gym:chain_sum", limits=Limits(200, 30, 60), seed=1)
    assert large.train[:20] == small.train
    assert large.test[:8] == small.test
    for splits in (large, other):
        for name in ("train", "selection", "test"):
            assert {split_of(e.messages[0].content) for e in getattr(splits, name)} == {name}


@needs_it
def test_near_misses() -> None:
    with pytest.raises(UsageError, match="unknown reasoning-gym generator 'gsm_symbolc'; did you mean 'gsm_symbolic'"):
        load_examples("reasoning-gym:gsm_symbolc")
    with pytest.raises(UsageError, match="unknown reasoning-gym generator ''"):
        load_examples("reasoning-gym:")


def test_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UsageError, match=r"not installed; run pip install 'rankwise\[demo\]'"):
        load_examples("reasoning-gym:gsm_symbolic")


def test_a_generator_that_runs_out_or_has_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, lambda n: {"question": f"q{n % 50}", "answer": "a"})
    splits = load_examples("reasoning-gym:count", limits=Limits(100, 1, 1))
    there = sum(split_of(f"q{n}") == "train" for n in range(50))
    assert len(splits.train) == there < 50
    assert f"train has {there} of the 100 examples asked for: no more exist" in splits.notes
    pretend(monkeypatch, lambda n: {"question": f"q{n}", "answer": None})
    with pytest.raises(UsageError, match="reasoning-gym:count gave no train question with an answer"):
        load_examples("reasoning-gym:count", limits=SMALL)


def test_a_generator_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(n: int):
        raise FileNotFoundError("no words.txt\nmore")

    pretend(monkeypatch, fail)
    with pytest.raises(UsageError, match=r"count cannot be generated with its standard options \(no words.txt\)"):
        load_examples("reasoning-gym:count", limits=SMALL)


def test_what_a_generator_prints_stays_inside(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pretend(monkeypatch, lambda n: print(".") or {"question": f"q{n}", "answer": "a"})
    assert len(load_examples("reasoning-gym:count", limits=SMALL).train) == 20
    assert capsys.readouterr().out == ""


def test_it_is_generated_and_wants_numbers() -> None:
    assert is_generated("reasoning-gym:gcd")
    assert not is_generated("owner/name")
    with pytest.raises(UsageError, match=r"limits\.test must be a number"):
        load_examples("reasoning-gym:gcd", limits=Limits(1, 1, None))
