import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.stats.multiplicity import claims, fixed_sequence, holm


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04: times 4, 3, 2, 1 = .02 .03 .06 .04, then made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_fixed_sequence_stops_at_the_first_failure():
    assert fixed_sequence([0.01, 0.02, 0.2, 0.001], 0.025) == 2
    assert fixed_sequence([0.3, 0.0], 0.025) == 0
    assert fixed_sequence([0.025], 0.025) == 1


def test_claims_without_ladders_are_holms():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = dict(zip("abcde", rng.uniform(0, 0.05, 5), strict=True))
        adjusted = dict(zip(p, holm(list(p.values())), strict=True))
        assert claims(p, 0.05).allowed == {n for n in p if adjusted[n] <= 0.05}


def test_one_ladder_pays_no_price_per_rank():
    p = {"r256": 0.02, "r64": 0.024, "r16": 0.3, "r4": 0.001}
    got = claims(p, 0.025, [("r256", "r64", "r16", "r4")])
    assert got.allowed == {"r256", "r64"}
    assert got.levels == {"r256": 0.025, "r64": 0.025, "r16": 0.025, "r4": 0.0}


def test_a_finished_ladder_passes_its_level_on():
    p = {"r8": 0.001, "r4": 0.002, "other": 0.02}
    assert claims(p, 0.025, [("r8", "r4")]).allowed == {"r8", "r4", "other"}
    p["r4"] = 0.9
    assert claims(p, 0.025, [("r8", "r4")]).allowed == {"r8"}


def test_false_claims_stay_below_alpha_with_ladders():
    rng = np.random.default_rng(1)
    names = ("a", "b", "r2", "r1")
    wrong = sum(
        bool(claims(dict(zip(names, rng.uniform(size=4), strict=True)), 0.2, [("r2", "r1")]).allowed)
        for _ in range(4000)
    )
    assert wrong / 4000 < 0.2 + 3 * np.sqrt(0.16 / 4000)
    assert wrong / 4000 > 0.1


def test_bad_ladders_are_refused():
    with pytest.raises(UsageError, match="r3"):
        claims({"r1": 0.1}, 0.025, [("r3",)])
    with pytest.raises(UsageError, match="one ladder only"):
        claims({"r1": 0.1}, 0.025, [("r1",), ("r1",)])
