import numpy as np
import pytest

from rankwise.stats.bootstrap import pigeonhole
from rankwise.stats.crossed import crossed


def test_agrees_with_the_closed_form_when_examples_vary(rng):
    tokens = rng.integers(5, 60, 200).astype(float)
    d = np.tile((0.2 + rng.standard_normal(200)) * tokens, (4, 1))
    draws = pigeonhole([d], tokens, replicates=4000)
    exact = crossed([d], tokens)
    assert draws.std() == pytest.approx(float(exact.se), rel=0.05)
    assert draws.mean() == pytest.approx(float(exact.estimate), abs=0.1 * float(exact.se))


def test_sees_the_seeds_of_two_groups_up_to_its_known_factor(rng):
    tokens = np.full(50, 10.0)
    a, b = rng.standard_normal(8), rng.standard_normal(6)
    groups = [a[:, None] * tokens, -b[:, None] * tokens]
    draws = pigeonhole(groups, tokens, constant=0.5 * tokens, replicates=8000)
    assert draws.var() == pytest.approx(a.var() / 8 + b.var() / 6, rel=0.06)
    assert draws.mean() == pytest.approx(a.mean() - b.mean() + 0.5, abs=0.03)


def test_is_seeded(rng):
    d, tokens = rng.standard_normal((3, 9)), np.ones(9)
    np.testing.assert_array_equal(pigeonhole([d], tokens, seed=4), pigeonhole([d], tokens, seed=4))
    assert not np.array_equal(pigeonhole([d], tokens, seed=4), pigeonhole([d], tokens, seed=5))
