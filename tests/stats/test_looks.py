"""The levels of a sequential design, against the process they bound."""

import itertools

import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.stats.looks import RESERVE, Look, nominal_level, spent_share


def test_looks_after_every_seed_err_as_often_as_was_to_be_spent():
    levels = np.array([nominal_level(0.025, n, 12) for n in range(3, 17)])
    sums = np.random.default_rng(0).standard_normal((400_000, 16)).cumsum(axis=1)
    z = sums[:, 2:] / np.sqrt(np.arange(3, 17))
    from scipy.stats import norm

    wrong = np.maximum.accumulate(z > norm.isf(levels), axis=1).mean(axis=0)
    for n in (3, 5, 8, 12, 16):
        due = 0.025 * spent_share(n, 12)
        assert wrong[n - 3] == pytest.approx(due, abs=4 * np.sqrt(due / 400_000))


def test_the_error_is_spent_once_and_never_all_of_it():
    shares = [spent_share(n, 12) for n in range(200)]
    assert shares[:3] == [0, 0, 0]
    assert all(a < b for a, b in itertools.pairwise(shares[2:]))
    assert spent_share(12, 12) == 1 - RESERVE
    assert shares[-1] < 1


@pytest.mark.parametrize("seeds", [3, 7, 12, 20])
def test_a_smaller_error_gives_a_smaller_level_at_every_look(seeds):
    """What lets one claim pass its share of the error on to another at the same look (Maurer and Bretz 2013)."""
    levels = [nominal_level(error, seeds, 12) for error in (0.025 / 4, 0.025 / 3, 0.025 / 2, 0.025)]
    assert levels == sorted(levels)
    assert levels[0] > 0


def test_one_planned_look_has_all_of_the_error():
    assert (Look(5).level(0.025), Look(5).spent(0.025)) == (0.025, 0.025)
    assert Look(3, 12).level(0.025) < 0.0015
    assert nominal_level(0.025, 2, 12) == 0
    with pytest.raises(UsageError, match="at least 3 seeds, found 2"):
        nominal_level(0.025, 2, 2)
