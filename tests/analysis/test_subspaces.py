"""Similarity, angles and amplification (arXiv 2106.09685, section 7)."""

import math
from itertools import pairwise

import pytest
import torch

from rankwise.analysis.measures.subspaces import (
    amplification,
    principal_angles,
    projections,
    random_projection,
    random_similarity,
    row_space,
    similarity,
    similarity_grid,
)
from rankwise.analysis.subspace import turning
from rankwise.analysis.updates import Update

F64 = torch.float64


def update(U, sigma, V):
    return Update(U * torch.tensor(sigma, dtype=F64), V.T)


def frame(n, k, seed=0):
    return torch.linalg.qr(torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=F64)).Q


def test_identical_is_one_and_orthogonal_is_zero():
    Q = frame(20, 8)
    assert similarity(Q, Q, 5, 5) == pytest.approx(1, abs=1e-14)
    assert similarity(Q[:, :4], Q[:, 4:], 4, 4) == pytest.approx(0, abs=1e-14)


def test_it_does_not_depend_on_the_basis_and_stays_in_its_range():
    U, V, turn = frame(20, 4), frame(20, 6, seed=1), frame(4, 4, seed=2)
    assert similarity(U @ turn, V, 4, 6) == pytest.approx(similarity(U, V, 4, 6), abs=1e-14)
    for row in similarity_grid(U, V, [1, 2, 4], [1, 3, 6]):
        assert all(0 <= phi <= 1 for phi in row)
    assert all(a <= b + 1e-14 for row in similarity_grid(U, V, [1], [1, 3, 6]) for a, b in pairwise(row))


def test_random_subspaces_match_the_stated_chance():
    n, i, j = 40, 3, 8
    found = [similarity(frame(n, i, 2 * k), frame(n, j, 2 * k + 1), i, j) for k in range(200)]
    assert sum(found) / len(found) == pytest.approx(random_similarity(i, j, n), rel=0.05)


def test_principal_angles():
    Q = frame(12, 4)
    assert principal_angles(Q[:, :2], Q[:, :2]).abs().max() < 1e-14, "an arccos of 1 - eps would give 1e-8"
    tilt = math.cos(0.3) * Q[:, :1] + math.sin(0.3) * Q[:, 2:3]
    assert float(principal_angles(Q[:, :2], tilt)) == pytest.approx(0.3, abs=1e-14)
    both = torch.cat([Q[:, :1], Q[:, 3:]], 1)
    torch.testing.assert_close(
        principal_angles(Q[:, :2], both), torch.tensor([0, math.pi / 2], dtype=F64), rtol=0, atol=1e-14
    )


def test_row_space_spans_the_rows():
    A = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), dtype=F64)
    Q = row_space(A)
    torch.testing.assert_close(A @ Q @ Q.T, A, rtol=1e-12, atol=1e-12)


def test_amplification_of_a_known_case():
    """W = diag(5, 1, 0.1), D = 2 on the third direction: |D| / |u^T W v| = 2 / 0.1."""
    W = torch.diag(torch.tensor([5.0, 1.0, 0.1], dtype=F64))
    E = torch.eye(3, dtype=F64)
    assert amplification(W, E[:, 2:], torch.tensor([2.0], dtype=F64), E[:, 2:], 1) == pytest.approx(20, abs=1e-12)
    assert projections(W, E[:, :1], E[:, :1]) == 5


def test_what_w_has_in_random_directions_is_the_average_of_draws():
    W = torch.diag(torch.arange(1.0, 13.0, dtype=F64))[:, :10]
    drawn = [projections(W, frame(12, 3, seed=2 * k), frame(10, 3, seed=2 * k + 1)) for k in range(3000)]
    mean_square = sum(value * value for value in drawn) / len(drawn)
    assert random_projection(W, 3) == pytest.approx(math.sqrt(mean_square), rel=0.02)


def test_a_constant_subspace_does_not_turn_and_another_one_by_its_angle():
    U, V = frame(12, 4), frame(10, 4, seed=1)
    tilt = U.clone()
    tilt[:, 1] = math.cos(0.4) * U[:, 1] + math.sin(0.4) * U[:, 3]
    seen = {
        1: {"layer": update(tilt[:, :2], [3.0, 2.0], V[:, :2])},
        2: {"layer": update(U[:, :2], [1.0, 0.5], V[:, :2])},
        4: {"layer": update(U[:, :2], [3.0, 2.0], V[:, :2])},
    }
    angles = {(row["step"], row["side"]): row["angle"] for row in turning(seen, 2)}
    assert angles[1, "output side"] == pytest.approx(math.degrees(0.4) / 2, abs=1e-9), "the median of 0 and 0.4"
    assert all(angle < 1e-6 for (step, side), angle in angles.items() if step > 1 or side == "input side")
    assert turning({4: seen[1], 8: seen[1]}, 1)[0]["angle"] < 1e-6
