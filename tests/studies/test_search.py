"""Learning rates: the best one, the edge, the next one to try, the fitted optimum."""

import math

import pytest

from rankwise.studies.search.rates import another_rate, best_rate, edge, fit_rate, next_rate, refined_rate


@pytest.mark.parametrize(
    ("scores", "best", "where", "new"),
    [
        ({1e-4: 0.9, 3e-4: 0.7, 1e-3: 0.8}, 3e-4, "inside", None),
        ({1e-4: 0.9, 3e-4: 0.8, 1e-3: 0.7}, 1e-3, "high", 3e-3),
        ({1e-4: 0.6, 3e-4: 0.8, 1e-3: 0.7}, 1e-4, "low", 3e-5),
        ({1e-4: 0.9, 3e-4: 0.7, 1e-3: None}, 3e-4, "inside", None),  # divergence brackets too
        ({1e-4: None, 3e-4: None}, None, "low", 3e-5),
        ({1e-3: 0.5}, 1e-3, "low", 3e-4),
        ({1e-3: 0.5, 3e-3: 0.5}, 1e-3, "low", 3e-4),  # a tie goes to the smaller rate
    ],
)
def test_search(scores, best, where, new):
    assert best_rate(scores) == best
    assert edge(scores) == where
    assert next_rate(scores) == new


def parabola(optimum, width=1.0, floor=0.7):
    return lambda lr: floor + width * math.log10(lr / optimum) ** 2


@pytest.mark.parametrize("optimum", [1.9e-4, 3e-4, 4.5e-4])
@pytest.mark.parametrize("grid", [(1e-4, 3e-4, 1e-3), (3e-5, 1e-4, 3e-4, 1e-3, 3e-3), (1.1e-4, 2.7e-4, 7.7e-4)])
def test_a_parabola_is_recovered_exactly(optimum, grid):
    nll = parabola(optimum)
    fit = fit_rate({lr: nll(lr) for lr in grid})
    assert fit.lr == optimum
    assert fit.nll == pytest.approx(0.7, abs=1e-12)
    c0, c1, c2 = fit.coefficients
    for lr in (2e-5, 1e-4, 1e-2):
        x = math.log10(lr)
        assert c0 + c1 * x + c2 * x * x == pytest.approx(nll(lr), abs=1e-10)


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {1e-4: 0.5, 3e-4: 0.5, 1e-3: 0.5},  # flat: the best is the lowest rate, an edge
        {1e-4: 0.9, 3e-4: 0.8, 1e-3: 0.7},  # monotone
        {1e-4: 0.9, 3e-4: 0.7, 1e-3: None},  # a neighbor without a score
        {1e-4: None, 3e-4: 0.7, 1e-3: 0.9},
        {3e-4: 0.7, 1e-3: 0.9},
    ],
)
def test_no_fit_without_three_neighbors_around_a_minimum(scores):
    assert fit_rate(scores) is None
    assert refined_rate(scores, 2.0, 0.005) is None


def test_the_fitted_optimum_lies_between_the_middles_of_its_intervals():
    fit = fit_rate({1e-4: 0.700001, 3e-4: 0.7, 1e-3: 5.0})
    assert math.sqrt(1e-4 * 3e-4) * 0.95 < fit.lr < 3e-4


@pytest.mark.parametrize(
    ("start", "share", "found"),
    [
        (1.7, 0.005, 1.7e-4),
        (1.7, 0.05, 1.7e-4),  # promises 0.053 of a gain of 0.947
        (1.7, 0.06, None),
        (0.7, 0.005, None),  # no gain at all, so nothing to promise a share of
    ],
)
def test_a_rerun_is_worth_a_share_of_the_gain(start, share, found):
    nll = parabola(1.7e-4)
    assert refined_rate({lr: nll(lr) for lr in (3e-5, 1e-4, 3e-4)}, start, share) == found


def test_the_fitted_optimum_is_not_run_twice():
    nll = parabola(3e-4)
    assert refined_rate({lr: nll(lr) for lr in (1e-4, 3e-4, 1e-3)}, 2.0, 0.0001) is None


@pytest.mark.parametrize(
    ("scores", "new"),
    [
        ({1e-3: 0.5, 3e-3: 0.6}, 3e-4),  # beyond the edge first
        ({1e-4: 0.9, 3e-4: 0.7, 1e-3: 0.8}, 3.8e-4),  # then the fitted optimum
        ({1e-4: 0.9, 3e-4: 0.7, 1e-3: None}, 1.7e-4),  # else the middle, on the better side
        ({1e-4: None, 3e-4: 0.7, 1e-3: 0.9}, 5.5e-4),
    ],
)
def test_one_more_rate(scores, new):
    assert another_rate(scores) == new
    assert new not in scores
