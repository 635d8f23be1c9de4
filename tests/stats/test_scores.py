import numpy as np
import pytest

from rankwise.errors import RunError, UsageError
from rankwise.stats.scores import Scores


def test_score_is_a_ratio_of_sums():
    scores = Scores([[2.0, 30.0], [4.0, 28.0]], [1, 9], (1, 2))
    assert scores.score == pytest.approx(64 / 20)
    np.testing.assert_allclose(scores.per_seed, [3.2, 3.2])
    assert scores.score != pytest.approx(np.mean([[2, 30 / 9], [4, 28 / 9]]))


def test_arrays_are_private_and_read_only():
    nll = np.ones((1, 2))
    scores = Scores(nll, np.array([1, 2]), (5,))
    nll[0, 0] = 9
    assert scores.nll[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        scores.nll[0, 0] = 3


@pytest.mark.parametrize(
    ("nll", "tokens", "seeds", "error", "says"),
    [
        ([1.0, 2.0], [1, 1], (1,), UsageError, "shape"),
        ([[1.0, 2.0]], [1, 1, 1], (1,), UsageError, "one count per example"),
        ([[1.0, 2.0]], [1, 0], (1,), UsageError, "example 1 has 0"),
        ([[1.0, 2.0]], [np.nan, 1], (1,), UsageError, "example 0"),
        ([[1.0, 2.0]], [1, 1], (1, 2), UsageError, "as many seeds"),
        ([[1.0, 2.0], [1.0, 2.0]], [1, 1], (), UsageError, "as many seeds"),
        ([[1.0, 2.0], [1.0, 2.0]], [1, 1], (3, 3), UsageError, "distinct"),
        ([[1.0, 2.0], [1.0, np.nan]], [1, 1], (3, 4), RunError, "example 1 under seed 4"),
        ([[np.inf, 2.0]], [1, 1], (), RunError, "untrained model"),
    ],
)
def test_what_does_not_fit_is_refused(nll, tokens, seeds, error, says):
    with pytest.raises(error, match=says):
        Scores(np.array(nll), np.array(tokens), seeds)
