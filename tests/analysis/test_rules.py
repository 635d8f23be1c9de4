"""Every rule comes out all three ways: made-up numbers for each word."""

import math
from types import SimpleNamespace

import pytest

from rankwise.analysis import asymmetry, forgetting, intrinsic_dim, kernel, scale, spectrum_trained, subspace, weights
from rankwise.analysis.bench import WatchedRun
from rankwise.analysis.intrinsic_dim import Dimension, Sweep
from rankwise.analysis.measures.projection import crossing

HOLDS, FAILS, OPEN = "holds here", "does not hold here", "undecided"
INF = math.inf


@pytest.mark.parametrize(
    ("plain", "stable", "word"),
    [
        ({1: 1.0, 16: 1.5, 128: 1.0}, {1: 1.0, 16: 1.5, 128: 1.6}, HOLDS),
        ({1: 1.33, 4: 1.51, 16: 1.50}, {1: 1.33, 4: 1.68, 16: 1.69}, FAILS),  # alpha/r does not fade, only learns less
        ({1: 1.0, 4: 1.2, 16: 1.1}, {1: 1.0, 4: 1.375, 16: 0.891}, FAILS),  # alpha/sqrt(r) falls even more
        ({1: 1.0, 16: 0.5}, {1: 1.0, 16: -INF}, FAILS),
        ({1: 1.0, 16: 0.5}, {1: 1.0, 16: 0.9}, OPEN),  # both fade
        ({1: 1.0, 16: -INF}, {1: 1.0, 16: 1.0}, OPEN),
        ({1: -0.1, 16: -0.2}, {1: 1.0, 16: 1.0}, OPEN),
        ({16: 1.0}, {16: 1.0}, OPEN),
    ],
)
def test_scale(plain, stable, word):
    assert scale.judge(*(scale.fading(tuple(gains), gains) for gains in (plain, stable))) == word


def test_scale_judges_the_whole_run():
    done = SimpleNamespace(status="done", curve=[(5, 1.0), (10, 0.5)])
    assert scale.average(WatchedRun(done, 2.0, {})) == 1.25
    assert scale.average(WatchedRun(SimpleNamespace(status="diverged", curve=[(5, 1.0)]), 2.0, {})) == -INF


def _dimension(gains, full=1.0, size=10_000):
    dimensions = list(gains)
    sweep = Sweep(dimensions, list(gains.values()), crossing(dimensions, list(gains.values()), full))
    return Dimension({"DID": sweep}, full, size)


@pytest.mark.parametrize(
    ("gains", "word", "told"),
    [
        ({10: 0.5, 90: 0.95, 200: 1.0}, HOLDS, "between 10 (below) and 90 (reached)"),
        ({10: 0.5, 90: 0.8, 200: 0.87}, FAILS, "above 200, the largest tried"),
        ({10: 0.5, 100: 0.8, 200: 0.95}, FAILS, "between 100 (below) and 200 (reached)"),  # 1 % itself stays below
        ({10: 0.5, 100: 0.89, 200: 0.95}, OPEN, "between 100 (below) and 200 (reached)"),  # too near to tell
        ({10: 0.5, 100: 0.91, 200: 0.95}, OPEN, "between 10 (below) and 100 (reached)"),
        ({10: 0.5, 90: 0.8, 200: 0.95}, OPEN, "between 90 (below) and 200 (reached)"),
        ({10: 0.5, 90: 0.8}, OPEN, "above 90, the largest tried"),
        ({10: 0.95, 90: 0.8, 200: 0.5}, HOLDS, "at most 10, the smallest tried"),
        ({10: -INF, 90: 0.95}, HOLDS, "about 90, between 10"),
    ],
)
def test_intrinsic_dimension(gains, word, told):
    found, why = intrinsic_dim.judge(_dimension(gains))
    assert found == word
    assert told in why


def test_no_gain_of_full_fine_tuning_has_no_intrinsic_dimension():
    assert intrinsic_dim.judge(Dimension({}, -INF, 10))[0] == OPEN


@pytest.mark.parametrize(
    ("full", "low", "word"),
    [
        ((1.0, 0.5), (0.6, 0.1), HOLDS),
        ((1.0, 0.5), (1.0, 0.6), FAILS),  # forgets more
        ((1.0, 0.5), (1.0, 0.5), FAILS),  # neither
        ((1.0, 0.5), (1.0, 0.1), OPEN),  # learns as much and forgets less
        ((1.0, -1.225), (0.6, -0.396), OPEN),  # nothing was forgotten
        ((1.0, 0.04), (0.6, 0.0), OPEN),
        ((-0.2, 0.5), (0.6, 0.0), OPEN),
        ((-INF, INF), (0.6, 0.0), OPEN),
        ((1.0, 0.5), (-INF, INF), FAILS),
    ],
)
def test_forgetting(full, low, word):
    assert forgetting.judge(full, low) == word
    assert forgetting.judge(full, low, learned=False) == OPEN
    assert forgetting.judge(full, low, bracketed=False) == OPEN


@pytest.mark.parametrize(
    ("targets", "found"), [((3, 1, 2), True), ((1, 2, 3), False), ((3, 2, 1), False), ((3, 1, INF), True)]
)
def test_the_best_rate_of_forgetting_has_worse_ones_on_both_sides(targets, found):
    points = [{"arm": "full", "lr": k, "target": t, "last": True} for k, t in enumerate(targets)]
    assert forgetting.inside([*points, {"arm": "full", "lr": 9, "target": 0, "last": False}], "full") == found


@pytest.mark.parametrize(
    ("again", "amplifies", "word"), [(0.9, 0.7, HOLDS), (0.9, 0.2, FAILS), (0.3, 0.9, FAILS), (0.9, 0.5, OPEN)]
)
def test_subspace(again, amplifies, word):
    assert subspace.judge(again, amplifies) == word


def test_what_w_has_but_does_not_emphasize():
    assert subspace.has_unemphasized(0.32, 21.67, 0.02), "the paper's own numbers at rank 4"
    assert not subspace.has_unemphasized(0.02, 21.67, 0.02), "as much as anywhere"
    assert not subspace.has_unemphasized(20.0, 21.67, 0.02), "W's own top directions"


@pytest.mark.parametrize(
    ("style", "facts", "learned", "word"),
    [
        ({1: 0.9, 16: 0.95}, {1: 0.5, 16: 0.9}, True, HOLDS),
        ({1: 0.5, 16: 0.9}, {1: 0.9, 16: 0.95}, True, FAILS),
        ({1: 0.9, 16: 0.95}, {1: 0.9, 16: 0.95}, True, FAILS),
        ({1: 0.46, 16: 0.61}, {1: 0.40, 16: 0.50}, True, OPEN),  # less at low rank, but more rank does not help
        ({1: 0.9, 16: 0.95}, {1: 0.5, 16: 0.9}, False, OPEN),
        ({1: 0.9}, {1: 0.5}, True, OPEN),
        (None, {1: 0.5, 16: 0.9}, True, OPEN),
        ({1: 0.9, 16: 0.95}, {1: 0.5, 16: -INF}, True, OPEN),
    ],
)
def test_spectrum(style, facts, learned, word):
    assert spectrum_trained.judge(style, facts, learned) == word


@pytest.mark.parametrize(
    ("full", "LoRA", "DoRA", "word"),
    [
        (-0.62, 0.83, -0.31, HOLDS),
        (-0.6, -0.2, -0.5, FAILS),  # LoRA's two changes do not go together
        (0.9, 0.8, 0.1, FAILS),
        (0.6, 0.8, 0.1, OPEN),
        (0.1, 0.8, 0.9, OPEN),
    ],
)
def test_weights(full, LoRA, DoRA, word):
    assert weights.judge({"full": full, "LoRA": LoRA, "DoRA": DoRA}) == word


@pytest.mark.parametrize(
    ("off", "slope", "word"),
    [(0.2, -0.5, HOLDS), (1.4, -0.5, FAILS), (0.4, -0.5, OPEN), (0.2, -0.1, FAILS), (0.2, -0.7, OPEN)],
)
def test_kernel(off, slope, word):
    assert kernel.judge(off, slope) == word


@pytest.mark.parametrize(
    ("b_only", "a_only", "word"),
    [(1.0, 0.8, HOLDS), (0.8, 1.0, FAILS), (1.0, 0.99, OPEN), (0.5, -INF, HOLDS), (-INF, -INF, OPEN)],
)
def test_asymmetry(b_only, a_only, word):
    assert asymmetry.judge(b_only, a_only, 1.0) == word
    assert asymmetry.judge(b_only, a_only, 1.0, bracketed=False) == OPEN
