"""Pareto fronts, bounds, projection errors, wins and toys."""

import math

import pytest
import torch

from rankwise.analysis.measures import reach
from rankwise.analysis.measures.bounds import best_A, best_B, generalization_bounds, regression_loss
from rankwise.analysis.measures.pareto import pareto_front
from rankwise.analysis.measures.toys import block_network, cluster_path, clusters, merged_ranks, outliers, wasserstein
from rankwise.analysis.measures.wins import count_beyond, count_wins, margin_of_gain

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_pareto_front():
    points = [(1.0, 5.0), (2.0, 2.0), (3.0, 3.0), (5.0, 1.0), (2.0, 2.0), (1.0, 6.0)]
    assert pareto_front(points) == [0, 1, 4, 3], "(3, 3) and (1, 6) are beaten, both (2, 2) stay"
    assert pareto_front([]) == []


def test_wins_are_strict_and_ties_are_nobodys():
    count = count_wins([(1.0, 2.0), (2.0, 2.0), (3.0, 2.0), (1.9, 2.0)])
    assert (count.wins, count.losses, count.ties) == (2, 1, 1)
    assert count.share == 0.5
    assert str(count) == "2 of 4 (1 ties)"


def test_a_win_beyond_a_margin_and_how_likely_chance_brings_it():
    inf = math.inf
    triples = [(1.0, 2.0, 0.5), (1.0, 1.25, 0.25), (1.5, 1.25, 0.2), (inf, 4.0, 1.0), (inf, inf, 1.0)]
    count = count_beyond(triples)
    assert (count.wins, count.losses, count.ties) == (1, 2, 2), "exactly the margin is not beyond it; never is a loss"
    assert count.p == 1.0
    assert count_wins([(1.0, 2.0)] * 5 + [(2.0, 2.0)]).p == pytest.approx(2 / 32, rel=1e-12), "ties are left out"
    assert count_wins([(2.0, 2.0)]).p == 1.0
    assert margin_of_gain(3.0, 1.5, 1.0) == pytest.approx(0.04, rel=1e-12), "of the better one's gain"
    assert margin_of_gain(1.0, 1.5, 2.0) == 0.0, "nothing gained, nothing to take a margin of"


def test_the_bounds_are_ordered_and_scale_as_stated():
    shapes = [(10, 20), (30, 20)]
    bounds = generalization_bounds(shapes, rank=4, samples=100, bits=8, sigma=0.5)
    assert bounds["B"] < bounds["both"]
    assert bounds["A"] < bounds["both"]
    assert bounds["B"] == pytest.approx(math.sqrt(2 * 0.25 * math.log(2) / 100 * 4 * 8 * 40), rel=1e-14)
    assert bounds["both"] ** 2 == pytest.approx(bounds["A"] ** 2 + bounds["B"] ** 2, rel=1e-12)
    assert generalization_bounds(shapes, 4, 400, bits=8, sigma=0.5)["A"] == pytest.approx(bounds["A"] / 2, rel=1e-12)


def test_training_b_alone_beats_a_alone_when_inputs_have_few_directions():
    """Both optima are least-squares solutions, and B's loss is the smaller one on average."""
    covariance = torch.diag(torch.arange(1, 13, dtype=F64) ** -1.5)
    b_losses, a_losses = [], []
    for seed in range(30):
        target, A, B = draw(12, 12, seed=seed), draw(3, 12, seed=100 + seed), draw(12, 3, seed=200 + seed)
        own = best_B(target, A, covariance)
        loss = regression_loss(target, own @ A, covariance)
        nudged = own + 1e-3 * draw(12, 3, seed=300 + seed)
        assert loss < regression_loss(target, nudged @ A, covariance)
        assert regression_loss(target, B @ best_A(target, B), covariance) < regression_loss(
            target, B @ (best_A(target, B) + 1e-3), covariance
        )
        b_losses.append(loss)
        a_losses.append(regression_loss(target, B @ best_A(target, B), covariance))
    assert sum(b_losses) < sum(a_losses)


def _minimum(W, build, *shapes):
    """Return the smallest |W - build(parameters)|_F that L-BFGS finds."""
    parameters = [draw(*shape, seed=k).requires_grad_(True) for k, shape in enumerate(shapes)]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=3000, tolerance_grad=1e-13, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = (W - build(*parameters)).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return math.sqrt(float(loss().detach()))


def turned(W0, *skews):
    """W0 with its columns rotated, a block for each matrix."""
    return W0 @ torch.block_diag(*(torch.matrix_exp(Z - Z.T) for Z in skews))


def test_closed_forms_are_the_numerical_optimum():
    W, W0 = draw(12, 10), draw(12, 10, seed=9)
    U, _, Vt = torch.linalg.svd(W0, full_matrices=False)
    A = draw(3, 10, seed=8)
    start = {"top": reach.top_directions(W0, 3), "first": reach.first_columns(W0, 3)}
    assert all(torch.linalg.matrix_rank(part) == 3 for part in start.values())
    torch.testing.assert_close(start["first"][:, :3], W0[:, :3], rtol=0, atol=1e-14)  # QR keeps the first columns
    cases = {
        "mode 1": (reach.singular_values_only(W, W0), lambda z: (U * z) @ Vt, (10,)),
        "rows": (reach.row_scaling(W, W0), lambda g: g[:, None] * W0, (12,)),
        "columns": (reach.column_scaling(W, W0), lambda g: W0 * g, (10,)),
        "core": (reach.core(W, W0, 3), lambda R: W0 + U[:, :3] @ R @ Vt[:3], (3, 3)),
        "frozen A": (reach.frozen_rows(W, W0, A), lambda B: W0 + B @ A, (12, 3)),
        "rotations": (reach.rotated(W, W0, 5), lambda *skews: turned(W0, *skews), (5, 5), (5, 5)),
        "low rank": (reach.low_rank(W, W0, 3), lambda B, A: W0 + B @ A, (12, 3), (3, 10)),
        **{
            part: (reach.replaced(W, W0, taken, 3), lambda B, A, taken=taken: W0 - taken + B @ A, (12, 3), (3, 10))
            for part, taken in start.items()
        },
    }
    for name, (ours, build, *shapes) in cases.items():
        assert ours == pytest.approx(_minimum(W, build, *shapes), rel=1e-7), name


def test_both_sides_scaled_is_a_local_optimum_no_worse_than_a_numerical_one():
    W, W0 = draw(12, 10), draw(12, 10, seed=9)
    ours = reach.row_and_column_scaling(W, W0, 500)
    assert ours <= _minimum(W, lambda b, a: b[:, None] * W0 * a, (12,), (10,)) + 1e-7
    assert ours < min(reach.row_scaling(W, W0), reach.column_scaling(W, W0)), "one side alone is among its choices"


def test_what_can_be_reached_is_reached():
    W0 = draw(12, 10)
    Z = [0.3 * draw(5, 5, seed=k) for k in (1, 2)]
    assert reach.rotated(turned(W0, *Z), W0, 5) == pytest.approx(0, abs=1e-13)
    flipped = W0 * torch.tensor([-1.0] + [1.0] * 9, dtype=F64)
    assert reach.rotated(flipped, W0, 5) > 1, "a reflection is no rotation"
    scaled = draw(12, 1, seed=3).exp() * W0 * draw(10, seed=4).exp()
    assert reach.row_and_column_scaling(scaled, W0, 500) == pytest.approx(0, abs=1e-7)
    taken = reach.top_directions(W0, 2)
    assert reach.replaced(W0 - taken + draw(12, 2, seed=5) @ draw(2, 10, seed=6), W0, taken, 2) < 1e-13
    with pytest.raises(ValueError, match="10 columns are no multiple of blocks of 3"):
        reach.rotated(W0, W0, 3)


def test_free_entries_and_the_combination():
    W, W0 = draw(12, 10), draw(12, 10, seed=9)
    assert reach.entries(W, W0, 0) == pytest.approx(float((W - W0).norm()), rel=1e-14)
    assert reach.entries(W, W0, 120) == 0
    for rank in (1, 3):
        combined = reach.decomposed(W, W0, rank, rounds=500)
        assert combined < reach.low_rank(W, W0, rank), "g = 1 is among its choices"
        free = _minimum(W, lambda g, B, A: g[:, None] * W0 + B @ A, (12,), (12, rank), (rank, 10))
        assert combined >= free - 1e-6 or combined == pytest.approx(free, rel=0.05), "a local optimum, near the global"


def test_no_change_of_v_moves_nothing_and_a_small_one_moves_in_proportion():
    X, V = draw(12, 8), torch.eye(8, dtype=F64)
    base = cluster_path(X, V, steps=20)
    assert all(wasserstein(a, b) == 0 for a, b in zip(base, cluster_path(X, V, steps=20), strict=True))
    for cloud in base:
        torch.testing.assert_close(cloud.norm(dim=1), torch.ones(12, dtype=F64), rtol=0, atol=1e-14)
    change = draw(8, 1, seed=1) @ draw(1, 8, seed=2)
    small, double = (wasserstein(base[3], cluster_path(X, V + s * change, steps=20)[3]) for s in (1e-4, 2e-4))
    assert double / small == pytest.approx(2, rel=1e-3)


def test_wasserstein_of_a_shift_and_clusters():
    X = draw(10, 3)
    assert wasserstein(X, X.flip(0)) == pytest.approx(0, abs=1e-7), "a permutation is free"
    assert wasserstein(X, X + 0.1) == pytest.approx(0.1 * math.sqrt(3), rel=1e-6)
    E = torch.eye(3, dtype=F64)
    assert clusters(torch.cat([E, E, E[:1]])) == 3


def test_a_block_model_has_as_many_outliers_as_blocks():
    network = block_network(3, 40, 0.6, 0.05, torch.Generator().manual_seed(0))
    assert torch.equal(network, network.T)
    sigma = torch.linalg.svdvals(network)
    assert outliers(sigma, 3) > 1.5 > outliers(sigma, 5)


def test_ranks_add_up_until_the_smaller_side():
    assert merged_ranks(20, 12, 3, 6, torch.Generator().manual_seed(0)) == [3, 6, 9, 12, 12, 12]
