from dataclasses import replace

import numpy as np
import pytest

from rankwise.stats.crossed import SEQUENTIAL_BOUND, crossed
from rankwise.stats.planning import Needs, needs


def centered(rng, s, n, *, seed_sd, mean):
    """A layout whose estimate is exactly ``mean``."""
    d = rng.standard_normal((s, 1)) * seed_sd + rng.standard_normal(n) + 0.1 * rng.standard_normal((s, n))
    return d - d.mean() + mean


def test_examples_follow_the_square_root_law(rng):
    d = np.tile(centered(rng, 1, 400, seed_sd=0, mean=0.05), (3, 1))  # no seed noise at all
    now = crossed([d], np.ones(400))
    got = needs(now)
    total = (1.96 * np.std(d[0], ddof=1) / 0.05) ** 2
    assert got.more_examples == pytest.approx(total - 400, rel=0.02)
    assert got.more_seeds is None  # identical runs: more of them add nothing


def test_examples_alone_never_help_when_seeds_dominate(rng):
    now = crossed([centered(rng, 4, 50, seed_sd=1.0, mean=0.2)], np.ones(50))
    got = needs(now)
    assert got.more_examples is None


def test_seeds_help_when_seeds_dominate(rng):
    d = np.array([-0.5, 1.5, -1.0, 1.2])[:, None] + 0.01 * rng.standard_normal((4, 300))
    now = crossed([d], np.ones(300))
    got = needs(now)
    assert got.more_examples is None
    need = (1.96 * np.sqrt(now.seed_var[0]) / now.estimate) ** 2 - 4  # normal law: a little fewer than with t
    assert need < got.more_seeds < need + 5


def test_the_plan_decides_when_carried_out(rng):
    # Same components, planned number of examples: the interval then excludes 0 about as often as not or better.
    now = crossed([centered(rng, 3, 100, seed_sd=0, mean=0.1)], np.ones(100), for_these_seeds=True)
    n = 100 + needs(now).more_examples
    se = np.sqrt((now.example_var + now.cross_var[0] / 3) / n)
    assert 1.96 * se < 0.1 < 1.96 * se * 1.02


def test_an_estimate_on_the_boundary_is_never_decided():
    now = crossed([np.array([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0]])], np.ones(2))
    assert needs(now) == Needs(None, None)


def test_one_seed_cannot_plan_seeds(rng):
    assert needs(crossed([centered(rng, 1, 50, seed_sd=0, mean=0.1)], np.ones(50))).more_seeds is None


def test_words():
    assert str(Needs(6, 210)) == "about 6 more seeds or 210 more test examples"
    assert str(Needs(1, None)) == "about 1 more seed"
    assert "neither alone" in str(Needs(None, None))


def test_a_plan_of_a_sequential_look_counts_the_skewness_that_more_examples_have(rng):
    row = rng.gamma(0.5, size=80)
    d = np.tile(row - row.mean() - 0.12, (3, 1))
    now = crossed([d], np.ones(80), seed_bound=SEQUENTIAL_BOUND)
    planned = needs(now, 0.01).more_examples
    assert planned > needs(replace(now, skew=np.zeros(())), 0.01).more_examples
    # A sample copied is what the plan supposes: its components stay, its skewness falls as 1 / sqrt(N).
    for copies in (2, 4, 8, 16):
        more = crossed([np.tile(d, copies)], np.ones(80 * copies), seed_bound=SEQUENTIAL_BOUND)
        if abs(80 * (copies - 1) - planned) > 20:
            assert (more.p_below() <= 0.01) == (80 * (copies - 1) > planned)
