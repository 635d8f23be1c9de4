from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rankwise.errors import UsageError
from rankwise.stats.crossed import SEQUENTIAL_BOUND, crossed


def anova(u):
    """Mean squares of a two-way layout without replication, by explicit loops."""
    s, n = u.shape
    grand = sum(u[i][j] for i in range(s) for j in range(n)) / (s * n)
    row = [sum(u[i][j] for j in range(n)) / n for i in range(s)]
    col = [sum(u[i][j] for i in range(s)) / s for j in range(n)]
    ms_s = n * sum((r - grand) ** 2 for r in row) / (s - 1)
    ms_i = s * sum((c - grand) ** 2 for c in col) / (n - 1)
    rest = sum((u[i][j] - row[i] - col[j] + grand) ** 2 for i in range(s) for j in range(n))
    return ms_s, ms_i, rest / ((s - 1) * (n - 1))


def test_variance_equals_brute_force_anova_of_the_linearized_ratio(rng):
    s, n = 4, 9
    tokens = rng.integers(3, 40, n).astype(float)
    d = tokens * (0.3 + rng.standard_normal((s, 1)) + rng.standard_normal(n) + 0.2 * rng.standard_normal((s, n)))
    got = crossed([d], tokens)
    ratio = d.sum() / (s * tokens.sum())
    ms_s, ms_i, ms_e = anova((d - ratio * tokens) / tokens.mean())
    assert got.estimate == pytest.approx(ratio, rel=1e-13)
    assert ms_s > ms_e
    assert got.se**2 == pytest.approx((ms_s + ms_i - ms_e) / (s * n), rel=1e-12)
    assert got.seed_var[0] == pytest.approx((ms_s - ms_e) / n, rel=1e-12)
    assert got.cross_var[0] == pytest.approx(ms_e, rel=1e-12)
    assert got.example_var == pytest.approx((ms_i - ms_e) / s, rel=1e-12)
    # Satterthwaite with the upper 75 % bound of MS_s.
    upper = ms_s * (s - 1) / stats.chi2.ppf(0.25, s - 1)
    df = (upper - ms_e + ms_i) ** 2 / ((upper - ms_e) ** 2 / (s - 1) + ms_i**2 / (n - 1))
    assert got.df == pytest.approx(df, rel=1e-12)


def test_by_hand():
    # Two seeds are held fixed; equal tokens make the ratio a plain mean. Column means 1, 2, 6: variance 7.
    got = crossed([np.array([[0.0, 2.0, 7.0], [2.0, 2.0, 5.0]])], np.ones(3))
    assert got.for_these_seeds
    assert got.estimate == pytest.approx(3)
    assert got.se == pytest.approx(np.sqrt(7 / 3))
    assert got.df == 2
    assert got.interval()[1] == pytest.approx(3 + 4.302652729911275 * np.sqrt(7 / 3))


def test_without_seed_effects_it_is_the_t_test_over_examples(rng):
    row = rng.standard_normal(30) + 0.4
    got = crossed([np.tile(row, (5, 1))], np.ones(30))
    want = stats.ttest_1samp(row, 0)
    assert not got.for_these_seeds
    assert got.p_value() == pytest.approx(want.pvalue, rel=1e-10)
    np.testing.assert_allclose(got.interval(), want.confidence_interval(), rtol=1e-10)


def test_without_example_effects_it_is_the_t_test_over_seeds(rng):
    per_seed = rng.standard_normal(5)
    tokens = np.full(20, 7.0)
    got = crossed([per_seed[:, None] * tokens], tokens)
    want = stats.ttest_1samp(per_seed, 0)
    assert got.p_value() == pytest.approx(want.pvalue, rel=1e-10)
    np.testing.assert_allclose(got.interval(), want.confidence_interval(), rtol=1e-10)


def test_unpaired_seeds_alone_are_welchs_estimate_and_variance(rng):
    a, b = rng.standard_normal(4), rng.standard_normal(6)
    tokens = np.full(10, 3.0)
    got = crossed([a[:, None] * tokens, -b[:, None] * tokens], tokens)
    want = stats.ttest_ind(a, b, equal_var=False)
    assert got.estimate / got.se == pytest.approx(want.statistic, rel=1e-10)


def test_one_seed_is_the_t_test_over_examples_and_says_so(rng):
    row = rng.standard_normal(12)
    got = crossed([row[None]], np.ones(12))
    assert got.for_these_seeds
    assert got.p_value() == pytest.approx(stats.ttest_1samp(row, 0).pvalue, rel=1e-12)


def test_one_sided_p_values_are_the_ends_of_the_interval(rng):
    d = rng.standard_normal((4, 15)) + 1
    got = crossed([d - crossed([d], np.ones(15)).interval()[0]], np.ones(15))  # lower end moved to 0
    assert got.interval()[0] == pytest.approx(0, abs=1e-12)
    assert got.p_above() == pytest.approx(0.025, rel=1e-9)
    assert got.p_below() == pytest.approx(0.975, rel=1e-9)


def test_a_negative_seed_component_counts_as_zero():
    # Interaction without any seed effect: rows have equal means.
    d = np.array([[1.0, -1, 0, 0], [0, 1, -1, 0], [-1, 0, 1, 0]]) + np.array([0.0, 1, 2, 3])
    got = crossed([d], np.ones(4))
    assert got.seed_var[0] == 0
    assert got.se**2 == pytest.approx(np.var(d.mean(0), ddof=1) / 4)


def test_identical_losses_have_no_evidence_and_no_width():
    got = crossed([np.zeros((3, 5))], np.ones(5))
    assert got.p_value() == 1
    assert got.interval() == (0, 0)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 3e4])
def test_scale(rng, factor):
    d, tokens = rng.standard_normal((3, 8)), rng.integers(1, 9, 8).astype(float)
    one, scaled = crossed([d], tokens), crossed([d * factor], tokens)
    np.testing.assert_allclose(scaled.interval(), np.array(one.interval()) * factor, rtol=1e-9)
    np.testing.assert_allclose(scaled.df, one.df, rtol=1e-9)
    longer = crossed([d * factor], tokens * factor)
    np.testing.assert_allclose(longer.interval(), one.interval(), rtol=1e-9)


def test_order_of_seeds_and_examples_does_not_matter(rng):
    d, tokens = rng.standard_normal((5, 8)), rng.integers(1, 9, 8).astype(float)
    rows, cols = rng.permutation(5), rng.permutation(8)
    np.testing.assert_allclose(
        crossed([d[rows][:, cols]], tokens[cols]).interval(), crossed([d], tokens).interval(), rtol=1e-11
    )


def test_leading_axes_are_independent_data_sets(rng):
    d, tokens = rng.standard_normal((6, 2, 4, 7)), rng.integers(1, 9, (6, 2, 7)).astype(float)
    extra = rng.standard_normal((6, 2, 7))
    many = crossed([d], tokens, constant=extra)
    one = crossed([d[3, 1]], tokens[3, 1], constant=extra[3, 1])
    for name in ("estimate", "se", "df", "example_var"):
        np.testing.assert_allclose(getattr(many, name)[3, 1], getattr(one, name), rtol=1e-12)


def test_too_little_data_is_refused():
    with pytest.raises(UsageError, match="at least 2 test examples"):
        crossed([np.ones((3, 1))], np.ones(1))
    with pytest.raises(UsageError, match="one seed says nothing"):
        crossed([np.ones((1, 3))], np.ones(3), for_these_seeds=False)
    with pytest.raises(UsageError, match="at least one group"):
        crossed([], np.ones(3))


@pytest.mark.parametrize("skewed", [lambda x: np.exp(x), lambda x: -np.exp(x), lambda x: x])
def test_a_sequential_look_counts_skewness_where_it_widens_and_never_where_it_narrows(rng, skewed):
    d = skewed(rng.standard_normal((50, 1, 30))) + 0.1 * rng.standard_normal((50, 4, 30))
    plain, got = (crossed([d], np.ones((50, 30)), seed_bound=bound) for bound in (0.75, SEQUENTIAL_BOUND))
    assert not np.any(plain.skew)
    bare = replace(got, skew=np.zeros_like(got.skew))
    (low, high), (bare_low, bare_high) = got.interval(0.999), bare.interval(0.999)
    wide = got.skew > 0
    np.testing.assert_allclose(np.where(wide, low, high), np.where(wide, bare_low, bare_high), rtol=1e-12)
    assert np.all((high > bare_high)[wide])
    assert np.all((low < bare_low)[~wide])
    assert np.all(got.p_below() >= bare.p_below())
    assert np.all(got.p_above() >= bare.p_above())


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_with_skewness_the_ends_of_the_interval_are_where_the_p_values_say(rng, level):
    d = np.exp(rng.standard_normal((40, 1, 25))) + 0.3 * rng.standard_normal((40, 3, 25))
    got = crossed([d], np.ones((40, 25)), seed_bound=SEQUENTIAL_BOUND)
    low, high = got.interval(level)
    np.testing.assert_allclose(replace(got, estimate=got.estimate - low).p_above(), (1 - level) / 2, rtol=1e-8)
    np.testing.assert_allclose(replace(got, estimate=got.estimate - high).p_below(), (1 - level) / 2, rtol=1e-8)


def test_skewness_is_that_of_a_mean(rng):
    row = rng.gamma(0.3, size=40)
    got = crossed([np.tile(row, (3, 1))], np.ones(40), seed_bound=SEQUENTIAL_BOUND)
    assert got.skew == pytest.approx(stats.skew(row) / np.sqrt(40) * (39 / 40) ** 1.5, rel=1e-10)
    noisy = crossed([row + 3 * rng.standard_normal((3, 1))], np.ones(40), seed_bound=SEQUENTIAL_BOUND)
    assert 0 < noisy.skew < got.skew  # seeds are not skewed


def test_no_spread_at_all_has_no_skewness():
    for value, below in ((0.0, 1.0), (-1.0, 0.0), (1.0, 1.0)):
        got = crossed([np.full((3, 5), value)], np.ones(5), seed_bound=SEQUENTIAL_BOUND)
        assert got.p_below() == below
        assert got.interval() == (value, value)
