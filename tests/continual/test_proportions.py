"""Intervals of exact match in a stream: those of `rankwise eval` for one task, within 0 and 1, never without width."""

import numpy as np
import pytest

from rankwise.continual.metrics import Matrix, beside_reference, difference, measures
from rankwise.continual.proportions import balanced
from rankwise.continual.scoring import TaskScore
from rankwise.stats.single import share

SIZES = {"a": 30, "b": 30, "c": 30}
UNEQUAL = {"a": 10, "b": 40, "c": 25}


def tokens(sizes):
    return {name: [2] * n for name, n in sizes.items()}


def chain(sizes, right, seed=0, order=None):
    """A chain with these shares of right answers in every row and task."""
    rng = np.random.default_rng(seed)
    names = order or tuple(sizes)
    rows = []
    for row in range(len(names) + 1):
        answers = {n: tuple(bool(x < right(row, n)) for x in np.arange(size) / size) for n, size in sizes.items()}
        rows.append({n: TaskScore(tuple(map(float, rng.gamma(2, 1, len(a)))), a) for n, a in answers.items()})
    return Matrix(tuple(names), tuple(rows))


@pytest.mark.parametrize("right", [0, 1, 3, 15, 29, 30])
def test_one_task_learned_once_has_the_interval_of_eval(right):
    m = chain({"a": 30}, lambda row, name: right / 30)
    found = measures([m], tokens({"a": 30}))["exact_match"]["AP"]
    answers = m.rows[1]["a"].right
    expected = share(answers)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("sizes", [SIZES, UNEQUAL])
@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("level", [0.0, 0.02, 0.1, 0.5, 0.98, 1.0])
def test_a_share_has_an_interval_of_some_width_within_its_bounds(sizes, seeds, level):
    chains = [chain(sizes, lambda row, name, seed=seed: level, seed) for seed in range(seeds)]
    for name in ("AP", "learned"):
        found = measures(chains, tokens(sizes))["exact_match"][name]
        assert 0 <= found["low"] <= found["estimate"] <= found["high"] <= 1
        assert 0.01 < found["high"] - found["low"] < 0.3


def test_equal_tasks_all_wrong_are_zero_of_all_their_questions():
    found = measures([chain(SIZES, lambda row, name: 0)] * 3, tokens(SIZES))["exact_match"]["AP"]
    expected = share([False] * 90)
    assert (found["low"], found["high"]) == pytest.approx((0.0, expected.high))
    assert balanced([30, 30, 30]) == pytest.approx(90)
    assert 30 < balanced(list(UNEQUAL.values())) < 75, "a small task counts as much as a large one"


def test_seeds_that_differ_widen_a_share():
    alike = [chain(SIZES, lambda row, name: 0.5, seed) for seed in range(3)]
    apart = [chain(SIZES, lambda row, name, seed=seed: 0.3 + 0.2 * seed, seed) for seed in range(3)]
    widths = [
        (lambda ap: ap["high"] - ap["low"])(measures(some, tokens(SIZES))["exact_match"]["AP"])
        for some in (alike, apart)
    ]
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_change_in_n_answers_is_not_a_change_of_exactly_nothing(level):
    one, other = ([chain(SIZES, lambda row, name: level, seed)] for seed in (0, 1))
    found = measures(one, tokens(SIZES))["exact_match"]
    for change in (
        *(found[name] for name in ("BWT", "forgetting", "FWT")),
        difference(one, other, tokens(SIZES))["exact_match"],
        beside_reference([(0, one[0])], {0: other[0]}, tokens(SIZES))["exact_match"],
    ):
        assert change["estimate"] == 0
        assert -0.1 < change["low"] < -0.02
        assert 0.02 < change["high"] < 0.1


def test_the_same_model_beside_itself_differs_by_nothing():
    one = [chain(SIZES, lambda row, name: 0.0)]
    found = difference(one, one, tokens(SIZES))
    assert {(v["low"], v["estimate"], v["high"]) for v in found.values()} == {(0.0, 0.0, 0.0)}


def test_a_change_of_every_answer_stays_within_one():
    m = chain(SIZES, lambda row, name: 0.0 if row == 0 else 1.0)
    found = measures([m], tokens(SIZES))["exact_match"]["FWT"]
    assert (found["estimate"], found["high"]) == (1.0, 1.0)
    assert 0.9 < found["low"] < 0.98
