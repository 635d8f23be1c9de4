"""The five measures against their definitions, written out with loops on a matrix made by hand."""

import numpy as np
import pytest

from rankwise.continual.metrics import MEASURES, Matrix, beside_reference, difference, measures, values
from rankwise.continual.scoring import TaskScore

ORDERS = [("a", "b", "c"), ("c", "a", "b")]
TOKENS = {"a": [2, 3, 4, 1], "b": [5, 1], "c": [2, 2, 2]}


def matrix(order, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(4):
        row = {}
        for name, tokens in TOKENS.items():
            nll = tuple(float(x) for x in rng.gamma(2.0, 1.0, len(tokens)) * tokens)
            row[name] = TaskScore(nll, tuple(bool(b) for b in rng.integers(0, 2, len(tokens))))
        rows.append(row)
    return Matrix(order, tuple(rows))


def by_hand(m, metric, name):
    """The definitions of docs/design/streams.md#the-score-matrix with tasks numbered from 1 in the order learned."""
    T = len(m.order)

    def R(i, j):
        scored, tokens = m.rows[i][m.order[j - 1]], TOKENS[m.order[j - 1]]
        return np.mean(scored.right) if metric == "exact_match" else -sum(scored.nll) / sum(tokens)

    return {
        "AP": np.mean([R(T, j) for j in range(1, T + 1)]),
        "learned": np.mean([R(j, j) for j in range(1, T + 1)]),
        "BWT": np.mean([R(T, j) - R(j, j) for j in range(1, T)]),
        "forgetting": np.mean([max(R(i, j) for i in range(T)) - R(T, j) for j in range(1, T)]),
        "FWT": np.mean([R(j - 1, j) - R(0, j) for j in range(2, T + 1)]),
    }[name]


@pytest.mark.parametrize("metric", ["exact_match", "nll"])
@pytest.mark.parametrize("name", MEASURES)
def test_definitions(metric, name):
    matrices = [matrix(order, seed) for order in ORDERS for seed in range(3)]
    for m in matrices:
        assert values(m, metric, name, TOKENS).mean() == pytest.approx(by_hand(m, metric, name), abs=1e-12)
    found = measures(matrices, TOKENS)[metric][name]
    assert found["estimate"] == pytest.approx(np.mean([by_hand(m, metric, name) for m in matrices]), abs=1e-12)
    assert found["low"] < found["estimate"] < found["high"]
    assert not found["for_these_seeds"]


def test_plain_matrix():
    m = matrix(ORDERS[1], 0)
    means = m.means("nll", TOKENS)
    assert len(means) == 4
    assert means[2][1] == pytest.approx(sum(m.rows[2]["a"].nll) / sum(TOKENS["a"]))


def test_tasks_are_fixed():
    """Tasks that differ a lot add nothing to the interval; examples that differ inside a task do."""

    def ap(levels):
        row = {n: TaskScore(tuple(map(float, nll)), (False,) * len(nll)) for n, nll in levels.items()}
        tokens = {n: [1] * len(nll) for n, nll in levels.items()}
        return measures([Matrix(ORDERS[0], (row,) * 4)], tokens)["nll"]["AP"]

    found = ap({"a": [1] * 4, "b": [5] * 2, "c": [20] * 3})
    assert found["estimate"] == pytest.approx(-26 / 3)
    assert found["high"] - found["low"] < 1e-9
    noisy = ap({"a": [1] * 4, "b": [5] * 2, "c": [20, 19, 21]})
    assert noisy["high"] - noisy["low"] > 0.1


def test_one_task_has_no_transfer():
    m = Matrix(("a",), tuple({"a": matrix(ORDERS[0], s).rows[0]["a"]} for s in range(2)))
    found = measures([m], {"a": TOKENS["a"]})["nll"]
    assert found["BWT"] is None
    assert found["forgetting"] is None
    assert found["FWT"] is None
    assert found["AP"]["estimate"] == found["learned"]["estimate"]


def test_difference_is_paired():
    one = [matrix(ORDERS[0], seed) for seed in range(3)]
    same = difference(one, one, TOKENS)
    assert same["nll"]["estimate"] == same["nll"]["low"] == same["nll"]["high"] == 0


def test_beside_a_reference_seeds_are_paired_and_orders_averaged():
    chains = [(seed, matrix(order, seed + 10 * i)) for i, order in enumerate(ORDERS) for seed in range(3)]
    reference = {seed: matrix(("a", "b", "c"), 100 + seed) for seed in range(3)}
    found = beside_reference(chains, reference, TOKENS)
    for metric in ("exact_match", "nll"):
        own = np.mean([by_hand(m, metric, "AP") for _, m in chains])
        theirs = np.mean([by_hand(m, metric, "AP") for m in reference.values()])
        assert found[metric]["estimate"] == pytest.approx(own - theirs, abs=1e-12)
    same = beside_reference(list(reference.items()), reference, TOKENS)["nll"]
    assert (same["low"], same["estimate"], same["high"]) == (0, 0, 0), "paired: nothing is left of what both share"
    assert beside_reference(chains, {}, TOKENS) is None
    assert beside_reference(chains[:1], {0: reference[0]}, TOKENS)["nll"]["for_these_seeds"]
