"""Learning rates: the best one, the edge, the next one to try."""

import pytest

from rankwise.studies.search import best_rate, edge, next_rate


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
