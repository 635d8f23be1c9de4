"""Who gets fresh seeds."""

from rankwise.stats.margin import Margin
from rankwise.studies.search.finalists import Screened, choose_finalists

ARMS = [
    Screened("best", 0.60, 300, 30),
    Screened("cheap-good", 0.64, 100, 10),
    Screened("cheap-bad", 0.90, 50, 5),
    Screened("second", 0.61, 200, 20),
]


def test_the_best_and_the_cheapest_within_the_margin():
    # full 0.60, base 1.60: the margin of 5 % allows 0.65
    assert choose_finalists(ARMS, 0.60, 1.60, Margin(0.05), 2) == ["best", "cheap-good"]
    assert choose_finalists(ARMS, 0.60, 1.60, Margin(0.05), 3) == ["best", "cheap-good", "second"]


def test_without_a_match_the_next_best_follows():
    assert choose_finalists(ARMS, 0.40, 1.60, Margin(0.05), 2) == ["best", "second"]


def test_the_best_may_be_the_cheapest():
    arms = [Screened("a", 0.5, 10, 1), Screened("b", 0.6, 20, 2)]
    assert choose_finalists(arms, 0.55, 1.0, Margin(0.05), 2) == ["a", "b"]
    assert choose_finalists(arms, 0.55, 1.0, Margin(0.05), 0) == []
    assert choose_finalists([], 0.55, 1.0, Margin(0.05), 2) == []
