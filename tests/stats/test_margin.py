"""Two things must hold for a match: the gain is kept, and the loss is close to the reference's."""

import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.stats.looks import Look
from rankwise.stats.margin import Margin
from rankwise.stats.scores import Scores
from rankwise.stats.verdict import chance_to_decide, judge, judge_all

BOTH = Margin(0.05, 0.10, 0.01)


def runs(mean: float, seeds: int = 3, spread: float = 0.0, first: int = 1, n: int = 200) -> Scores:
    """Runs whose losses per token are ``mean``, but for small differences between examples and seeds."""
    rng = np.random.default_rng([int(mean * 1e6), first])
    tokens = np.full(n, 10.0)
    nll = mean + 0.01 * rng.standard_normal((seeds, n)) + spread * rng.standard_normal((seeds, 1))
    return Scores(nll * tokens, tokens, tuple(range(first, first + seeds)))


def untrained(mean: float, n: int = 200) -> Scores:
    return Scores.without_seed(np.full(n, 10.0 * mean), np.full(n, 10.0))


@pytest.mark.parametrize(
    ("reference", "arm", "word"),
    [
        (0.217, 0.356, "falls short"),  # keeps 95 % of the gain from 3.2 nats, and everybody would notice
        (0.217, 0.222, "matches"),
        (0.217, 0.150, "beats"),
        (0.300, 0.345, "falls short"),
        (0.001, 0.003, "matches"),  # learned by heart: the floor
        (0.001, 0.020, "falls short"),
    ],
)
def test_a_match_is_close_to_the_reference_too(reference, arm, word):
    scores = runs(arm), runs(reference, first=11), untrained(3.2)
    assert judge(*scores, BOTH).word == word
    assert judge(*scores, 0.05).word == "matches or beats"  # the margin of older studies


def test_where_little_is_gained_the_share_of_the_gain_decides():
    scores = runs(1.02), runs(1.0, first=11), untrained(1.1)
    verdict = judge(*scores, BOTH)
    assert verdict.word == "falls short"
    assert "part of the gain is lost" in verdict.sentence("LoRA", "full")
    assert BOTH.nats(1.0, 1.1) == pytest.approx(0.005)
    assert BOTH.nats(0.2, 3.2) == pytest.approx(0.03)


def test_a_look_of_a_sequential_design_asks_for_more():
    scores = runs(0.217, spread=0.005), runs(0.217, spread=0.005, first=11), untrained(3.2)
    once, first = judge(*scores, BOTH), judge(*scores, BOTH, look=Look(3, 12))
    assert once.word == "matches"
    assert first.word == "undecided"
    assert first.recovery.low < once.recovery.low < once.recovery.high < first.recovery.high
    assert first.needs.more_seeds < 6
    assert chance_to_decide(*scores, BOTH, look=Look(3, 12), last=Look(12, 12)) > 0.9


def test_it_is_futile_to_go_on_at_the_margin():
    scores = runs(0.217 * 1.1 + 0.01, spread=0.02), runs(0.217, spread=0.02, first=11), untrained(3.2)
    shift = float(BOTH.contrasts(*scores)[1].estimate)
    arm = Scores(scores[0].nll - shift * scores[0].tokens, scores[0].tokens, scores[0].seeds)
    assert chance_to_decide(arm, *scores[1:], BOTH, look=Look(3, 12), last=Look(12, 12)) < 0.2


def test_a_claim_of_an_earlier_look_holds_and_passes_its_level_on():
    arm, reference, base = runs(0.23, 4, 0.003), runs(0.217, 4, 0.003, first=11), untrained(3.2)
    look, barely = Look(4, 12), None
    for more in np.linspace(0.0, 0.02, 400):  # alone it is a match, but only just
        barely = Scores(arm.nll - (more - 0.01) * arm.tokens, arm.tokens, arm.seeds)
        if judge(barely, reference, base, BOTH, look=look).word != "undecided":
            break
    arms = {"barely": barely}
    assert judge_all(arms, reference, base, BOTH, look=look)["barely"].word == "matches"
    assert judge_all(arms, reference, base, BOTH, look=look, earlier={"b": "matches"})["barely"].word == "matches"
    waits = judge_all(arms, reference, base, BOTH, look=look, earlier={"b": "falls short"})["barely"]
    assert waits.word == "undecided"
    assert "correcting for the other arms" in waits.reason


@pytest.mark.parametrize(
    ("values", "said"), [((1.0,), "below 1"), ((0.05, -0.1), "loss must be"), ((0.05, 0.1, -1.0), "floor must be")]
)
def test_margins_out_of_range_are_refused(values, said):
    with pytest.raises(UsageError, match=said):
        Margin(*values)
