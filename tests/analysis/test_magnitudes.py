"""Magnitude and direction (arXiv 2402.09353, section 3.2)."""

import math

import pytest
import torch

from rankwise.analysis.measures.magnitudes import magnitude_direction, pearson

W0 = torch.randn(6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("axis", "dim"), [("out", 1), ("in", 0)])
def test_a_pure_rescale_turns_nothing(axis, dim):
    magnitude, direction = magnitude_direction(1.25 * W0, W0, axis)
    assert magnitude == pytest.approx(0.25 * float(W0.norm(dim=dim).mean()), abs=1e-12)
    assert direction == pytest.approx(0, abs=1e-15)


def test_a_rotation_of_the_rows_keeps_every_length():
    turn = torch.linalg.qr(torch.randn(9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    magnitude, direction = magnitude_direction(W0 @ turn, W0)
    assert magnitude == pytest.approx(0, abs=1e-14)
    assert direction > 0.1


def test_a_known_angle():
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    turned = torch.tensor([[math.cos(1e-4), math.sin(1e-4)]], dtype=torch.float64)
    assert magnitude_direction(turned, start)[1] == pytest.approx(1 - math.cos(1e-4), rel=1e-7)


def test_the_order_of_rows_does_not_matter_and_a_zero_row_counts_as_unturned():
    W = W0 + 0.1
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    assert magnitude_direction(W[order], W0[order]) == pytest.approx(magnitude_direction(W, W0), abs=1e-14)
    empty = torch.zeros(2, 3, dtype=torch.float64)
    assert magnitude_direction(empty, empty) == (0, 0)


def test_pearson():
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1, abs=1e-15)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1, abs=1e-15)
    assert math.isnan(pearson([1, 1, 1], [1, 2, 3]))
