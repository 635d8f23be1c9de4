import numpy as np
import pytest
from scipy import stats

from rankwise.errors import UsageError
from rankwise.stats.contrast import (
    clearly_positive,
    gain,
    margin_contrast,
    recovery,
    regret,
)
from rankwise.stats.scores import Scores

from .make import study


def test_estimates_are_differences_of_scores(rng):
    arm, reference, base = study(rng, regret=0.1)
    assert regret(arm, reference, base).estimate == pytest.approx(arm.score - reference.score, rel=1e-10)
    assert gain(reference, base).estimate == pytest.approx(base.score - reference.score, rel=1e-12)
    want = arm.score - 0.9 * reference.score - 0.1 * base.score
    assert margin_contrast(arm, reference, base, 0.1).estimate == pytest.approx(want, rel=1e-10)


def test_same_seeds_pair_whatever_their_order_and_other_seeds_do_not(rng):
    tokens = np.full(30, 10.0)
    order = rng.standard_normal((4, 1)) * 0.5  # what a seed does to both sides
    noise = 0.01 * rng.standard_normal((2, 4, 30))
    base = Scores.without_seed(np.full(30, 30.0), tokens)
    arm = Scores((1 + order + noise[0]) * tokens, tokens, (1, 2, 3, 4))
    reference = Scores((1 + order + noise[1]) * tokens, tokens, (1, 2, 3, 4))
    shuffled = Scores(reference.nll[[2, 0, 3, 1]], tokens, (3, 1, 4, 2))
    elsewhere = Scores(reference.nll, tokens, (5, 6, 7, 8))
    paired = regret(arm, reference, base)
    assert regret(arm, shuffled, base).se == pytest.approx(paired.se, rel=1e-12)
    unpaired = regret(arm, elsewhere, base)
    assert unpaired.se > 20 * paired.se
    seed_variance = np.var(arm.per_seed, ddof=1) / 4 + np.var(reference.per_seed, ddof=1) / 4
    assert unpaired.se**2 == pytest.approx(seed_variance, rel=1e-2)


def test_recovery_interval_is_fiellers_when_only_examples_vary(rng):
    n = 80
    arm, reference, base = 1.1 + 0.2 * rng.standard_normal(n), 1 + 0.2 * rng.standard_normal(n), np.full(n, 2.0)
    ones = np.ones(n)
    got = recovery(Scores(arm[None], ones, (1,)), Scores(reference[None], ones, (1,)), Scores.without_seed(base, ones))
    x, y = base - arm, base - reference  # recovery = mean x / mean y
    v = np.cov(x, y) / n
    t2 = stats.t.ppf(0.975, n - 1) ** 2
    roots = np.roots(
        [y.mean() ** 2 - t2 * v[1, 1], -2 * (x.mean() * y.mean() - t2 * v[0, 1]), x.mean() ** 2 - t2 * v[0, 0]]
    )
    assert got.estimate == pytest.approx(x.mean() / y.mean(), rel=1e-12)
    np.testing.assert_allclose([got.low, got.high], np.sort(roots), rtol=1e-8)


@pytest.mark.parametrize("arm_seeds", [None, (11, 12, 13)])
def test_recovery_and_the_margin_contrast_never_disagree(rng, arm_seeds):
    for loss in (-0.1, 0.0, 0.05, 0.6):
        arm, reference, base = study(rng, regret=loss, arm_seeds=arm_seeds)
        got = recovery(arm, reference, base)
        assert got.low < got.estimate < got.high
        for margin in (0.0, 0.05, 0.3):
            low, high = margin_contrast(arm, reference, base, margin).interval()
            assert (high < 0) == (got.low > 1 - margin)
            assert (low > 0) == (got.high < 1 - margin)


def test_a_perfect_copy_recovers_everything_exactly(rng):
    _, reference, base = study(rng)
    got = recovery(reference, reference, base)
    assert (got.estimate, got.low, got.high) == (1, 1, 1)


def test_no_recovery_without_a_clear_gain(rng):
    arm, reference, base = study(rng, gain=0.0)
    assert not clearly_positive(gain(reference, base))
    assert recovery(arm, reference, base) is None


def test_different_examples_are_refused(rng):
    arm, reference, base = study(rng)
    other = Scores(reference.nll[:, :-1], reference.tokens[:-1], reference.seeds)
    with pytest.raises(UsageError, match="same test examples"):
        regret(arm, other, base)
    with pytest.raises(UsageError, match="one score per example"):
        regret(arm, reference, reference)


@pytest.mark.parametrize("margin", [-0.01, 1.0, float("nan")])
def test_margin_range(rng, margin):
    with pytest.raises(UsageError, match="margin must be"):
        margin_contrast(*study(rng), margin)
