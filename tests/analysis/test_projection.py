"""Fastfood, the Walsh-Hadamard transform and d90 (arXiv 2012.13255)."""

import math

import pytest
import torch

from rankwise.analysis.measures.projection import crossing, fastfood, hadamard, walsh_hadamard

F64 = torch.float64


@pytest.mark.parametrize("order", [0, 1, 3, 6, 7, 10])
def test_the_fast_transform_is_the_dense_one(order):
    x = torch.randn(2**order, generator=torch.Generator().manual_seed(order), dtype=F64)
    torch.testing.assert_close(walsh_hadamard(x), hadamard(order).to(F64) @ x, rtol=1e-12, atol=1e-10)


def test_a_length_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="power of 2"):
        walsh_hadamard(torch.ones(6))


def test_twice_the_transform_is_the_length_times_the_vector():
    x = torch.arange(128, dtype=F64)
    torch.testing.assert_close(walsh_hadamard(walsh_hadamard(x)), 128 * x, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("size", "d"), [(100, 7), (128, 128), (40, 64)])
def test_the_projection_is_linear_and_its_transpose_is_exact(size, d):
    P = fastfood(size, d, seed=3)
    dense = torch.stack([P.project(e) for e in torch.eye(d, dtype=F64)], 1)
    z, g = torch.arange(d, dtype=F64), torch.arange(size, dtype=F64) - 3
    torch.testing.assert_close(P.project(z), dense @ z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(P.transposed(g, d), dense.T @ g, rtol=1e-10, atol=1e-10)


def test_the_projection_keeps_length_on_average():
    z = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=F64)
    sizes = [float(fastfood(300, 16, seed).project(z).square().sum()) for seed in range(200)]
    assert sum(sizes) / len(sizes) == pytest.approx(float(z.square().sum()), rel=0.03)


def test_the_seed_decides_the_projection():
    z = torch.ones(5, dtype=F64)
    assert torch.equal(fastfood(50, 5, 1).project(z), fastfood(50, 5, 1).project(z))
    assert not torch.equal(fastfood(50, 5, 1).project(z), fastfood(50, 5, 2).project(z))


def test_d90_and_its_bracket():
    found = crossing([10, 100, 1000], [0.0, 0.8, 1.0], full_gain=1.0)
    assert found.bracket == (100, 1000)
    assert found.d90 == pytest.approx(math.sqrt(100 * 1000), rel=1e-12), "half way in the logarithm"
    assert crossing([10, 100], [0.95, 1.0], 1.0).bracket == (None, 10)
    never = crossing([10, 100], [0.1, 0.5], 1.0)
    assert (never.d90, never.bracket) == (None, (100, None))
    with pytest.raises(ValueError, match="ascending"):
        crossing([100, 10], [0.1, 0.2], 1.0)


def test_a_regression_whose_answer_lies_in_k_directions_has_d90_near_k():
    """Inputs span k of D directions: a random subspace of k dimensions already explains everything, one of k/4 not."""
    D, k = 64, 8
    stream = torch.Generator().manual_seed(5)
    inputs = torch.randn(500, k, generator=stream, dtype=F64) @ torch.randn(k, D, generator=stream, dtype=F64)
    y = inputs @ torch.randn(D, generator=stream, dtype=F64)
    dimensions, gains = [2, 4, 8, 16, 32], []
    for d in dimensions:
        P = fastfood(D, d, seed=1)
        X = inputs @ torch.stack([P.project(e) for e in torch.eye(d, dtype=F64)], 1)
        rest = y - X @ (torch.linalg.pinv(X, rtol=1e-10) @ y)
        gains.append(1 - float(rest.square().sum() / y.square().sum()))
    assert gains == sorted(gains)
    torch.testing.assert_close(gains[2:], [1.0, 1.0, 1.0], rtol=0, atol=1e-12)
    below, first = crossing(dimensions, gains, 1.0).bracket
    assert below is not None
    assert k / 2 <= first <= k
