"""Successive halving's decisions, as tables."""

import pytest

from rankwise.engine import RunResult, TrainSpec
from rankwise.engine.batches import window
from rankwise.methods import lora
from rankwise.stats.margin import Margin
from rankwise.studies.search.halving import cut, examples_until, keep_arms, keep_rates, rung_steps, score_at


@pytest.mark.parametrize(
    ("steps", "every", "first", "rungs"),
    [
        (20, 5, 0.2, (5, 10)),
        (12, 4, 0.2, (4, 8)),
        (60, 10, 0.2, (20, 40)),  # 10 steps of 60 are too early
        (40, 4, 0.2, (8, 16, 32)),
        (100, 10, 0.5, (50,)),
        (20, 20, 0.2, ()),  # never scored before the end: nothing to decide on
        (6, 2, 0.2, (2, 4)),
    ],
)
def test_rungs_are_evaluations_at_a_fifth_or_later_and_then_twice_as_far(steps, every, first, rungs):
    assert rung_steps(range(every, steps + 1, every), steps, first) == rungs


@pytest.mark.parametrize(
    ("scores", "eta", "first", "kept"),
    [
        ({1: 0.5, 2: 0.4, 3: 0.6}, 3, True, [1, 2]),  # two at first
        ({1: 0.5, 2: 0.4, 3: 0.6}, 3, False, [2]),
        ({1: 0.5, 2: 0.4, 3: 0.6, 4: 0.3, 5: 0.1, 6: 0.2, 7: 0.9}, 3, True, [3, 5, 6]),  # a lower neighbor first
        ({1: 0.5, 2: 0.4, 3: 0.6, 4: 0.3}, 2, False, [2, 4]),
        ({1: 0.9, 3: 0.6, 4: 0.3, 10: 0.4}, 3, True, [1, 4]),  # 3 is too near to 4
        ({1: None, 3: 0.3, 10: 0.4}, 3, True, [3, 10]),  # no lower one: the second best
        ({1: None, 2: 0.4, 3: None}, 3, True, [2]),  # what diverged never goes on
        ({1: None, 2: None}, 3, True, []),
        ({1: 0.4, 2: 0.4, 3: 0.4}, 3, False, [1]),  # a tie goes to the smaller rate
        ({1: 0.4}, 3, True, [1]),
    ],
)
def test_rates_that_go_on(scores, eta, first, kept):
    assert keep_rates(scores, eta, first=first) == kept
    assert keep_rates(scores, eta, first=first, reference=True) == keep_rates(scores, eta, first=True)


TRAINABLE = {"r1": 1, "r4": 4, "r16": 16, "r64": 64}


@pytest.mark.parametrize(
    ("best", "finalists", "kept"),
    [
        ({"r1": 0.90, "r4": 0.64, "r16": 0.61, "r64": 0.60}, 2, {"r64", "r4"}),  # the best, the cheapest in the margin
        ({"r1": 0.90, "r4": 0.80, "r16": 0.70, "r64": 0.60}, 2, {"r64", "r16"}),  # else the next best
        ({"r1": 0.90, "r4": None, "r16": None, "r64": None}, 2, {"r1"}),
        ({"r1": 0.90, "r4": 0.64, "r16": 0.61, "r64": 0.60}, 3, {"r64", "r4", "r16"}),
        ({"r1": None}, 2, set()),
    ],
)
def test_arms_that_go_on(best, finalists, kept):
    found = keep_arms(best, TRAINABLE, 0.60, 1.60, margin=Margin(0.05), eta=3, finalists=finalists, first=False)
    assert set(found) == kept
    more = keep_arms(best, TRAINABLE, 0.60, 1.60, margin=Margin(0.05), eta=3, finalists=finalists - 1, first=True)
    assert more == found


def test_without_a_reference_no_arm_is_stopped():
    assert keep_arms(
        {"r1": 0.9, "r4": 0.1}, TRAINABLE, None, 1.6, margin=Margin(0.05), eta=3, finalists=1, first=True
    ) == [
        "r1",
        "r4",
    ]


RUN = RunResult(curve=[(2, 0.9), (4, 0.7), (6, 0.8), (8, 0.6)], losses=[1.0] * 8, best_step=8, trainable=5)


def test_scores_are_read_off_the_curve_however_far_it_goes_by_now():
    assert [score_at(RUN, step) for step in (2, 4, 6, 8)] == [0.9, 0.7, 0.7, 0.6]
    assert score_at(cut(RUN, 6), 6) == 0.7
    assert score_at(cut(RUN, 6), 8) is None
    assert score_at(None, 2) is None
    assert score_at(RunResult(status="diverged", curve=[(2, 0.9)]), 4) is None


def test_a_run_is_shown_as_it_was_when_it_was_stopped():
    shown = cut(RUN, 6)
    assert (shown.status, shown.best_step, shown.trainable) == ("paused", 4, 5)
    assert shown.curve == RUN.curve[:3]
    assert cut(shown, 6) == shown
    late = RunResult(status="diverged", reason="later", curve=[(2, 0.9), (4, 0.7)], losses=[1.0] * 5)
    assert cut(late, 4).status == "paused", "it diverged after it was stopped, which the study never saw"
    assert cut(late, 6).status == "diverged"


@pytest.mark.parametrize("n", [7, 8, 20])
@pytest.mark.parametrize("batch", [3, 8])
def test_examples_are_those_the_windows_read(n, batch):
    spec = TrainSpec(lora(rank=2), lr=1e-3, steps=9, batch=batch)
    for steps in range(10):
        assert examples_until(batch, n, steps) == sum(len(window(spec, n, step)) for step in range(steps))
