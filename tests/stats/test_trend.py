import numpy as np
import pytest
from scipy import stats

from rankwise.errors import UsageError
from rankwise.stats.trend import trend

STEPS = np.arange(8, 97, 8)  # 12 evaluations; the last third starts at step 64


def test_recovers_a_known_slope_per_ten_steps(rng):
    reference = 1 - 0.001 * STEPS + 0.1 * rng.standard_normal((4, 1))
    slopes = np.array([0.0020, 0.0024, 0.0016, 0.0020])
    arm = reference + slopes[:, None] * STEPS
    got = trend(STEPS, arm, reference, paired=True)
    want = stats.ttest_1samp(slopes * 10, 0)
    assert got.slope == pytest.approx(0.02)
    np.testing.assert_allclose([got.low, got.high], want.confidence_interval(), rtol=1e-8)
    assert got.widening


def test_only_the_last_third_counts():
    arm = np.where(STEPS >= 64, 1.0, STEPS / 64.0)[None].repeat(3, 0)
    got = trend(STEPS, arm, np.zeros((3, 12)), paired=True)
    assert (got.slope, got.low, got.high, got.widening) == (0, 0, 0, False)


def test_unpaired_is_welchs_test(rng):
    a, r = rng.standard_normal(4) * 0.01, rng.standard_normal(3) * 0.02
    got = trend(STEPS, a[:, None] * STEPS, r[:, None] * STEPS, paired=False)
    want = stats.ttest_ind(a * 10, r * 10, equal_var=False).confidence_interval()
    np.testing.assert_allclose([got.low, got.high], want, rtol=1e-8)


def test_two_evaluations_are_enough_and_one_or_a_single_seed_is_not():
    curves = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.5], [3.0, 2.0, 1.4]])
    assert trend([8, 16, 24], curves, np.ones((3, 3)), paired=True) is not None
    assert trend([8, 15, 24], curves, np.ones((3, 3)), paired=True) is None
    assert trend([8, 16, 24], curves[:1], np.ones((1, 3)), paired=True) is None


def test_shapes_are_checked():
    with pytest.raises(UsageError, match="share the 3 steps"):
        trend([1, 2, 3], np.ones((2, 2)), np.ones((2, 3)), paired=False)
    with pytest.raises(UsageError, match="seeds when paired"):
        trend([1, 2, 3], np.ones((2, 3)), np.ones((3, 3)), paired=True)
