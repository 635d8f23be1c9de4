"""Spectra against closed forms and against a dense SVD."""

import math

import pytest
import torch

from rankwise.analysis.measures.spectra import (
    effective_rank,
    energy_rank,
    entropy_rank,
    kept_energy,
    numerical_rank,
    product_singular_values,
    product_svd,
    stable_rank,
    truncation_error,
)
from rankwise.analysis.measures.style_facts import facts_spectrum, scale_table, style_facts_table, style_spectrum

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize(("d_out", "rank", "d_in"), [(30, 4, 20), (20, 1, 30), (6, 9, 5), (8, 8, 12)])
def test_thin_factors_have_the_dense_products_spectrum(d_out, rank, d_in):
    B, A = draw(d_out, rank), draw(rank, d_in, seed=1)
    dense = torch.linalg.svdvals(B @ A)
    ours = product_singular_values(B, A)
    torch.testing.assert_close(ours, dense[: len(ours)], rtol=1e-12, atol=1e-12)
    U, sigma, V = product_svd(B, A)
    torch.testing.assert_close((U * sigma) @ V.T, B @ A, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(U.T @ U, torch.eye(U.shape[1], dtype=F64), rtol=0, atol=1e-12)


def test_ranks_of_a_flat_and_of_a_single_spectrum():
    flat, one = torch.full((7,), 3.0, dtype=F64), torch.tensor([5.0, 0.0, 0.0], dtype=F64)
    for measure in (effective_rank, stable_rank, entropy_rank):
        assert measure(flat) == pytest.approx(7, abs=1e-12)
        assert measure(one) == pytest.approx(1, abs=1e-12)
        assert measure(torch.zeros(3, dtype=F64)) == 0


def test_entropy_rank_of_two_unequal_values():
    p = 0.8
    assert entropy_rank(torch.tensor([4.0, 1.0], dtype=F64)) == pytest.approx(
        math.exp(-(p * math.log(p) + 0.2 * math.log(0.2))), abs=1e-12
    )


def test_energy_by_sum_and_by_squares_differ():
    sigma = torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=F64)
    assert energy_rank(sigma, 0.75, "squares") == 1, "9 of 12"
    assert energy_rank(sigma, 0.76, "squares") == 2
    assert energy_rank(sigma, 0.5, "sum") == 1, "3 of 6"
    assert energy_rank(sigma, 0.9, "sum") == 4


def test_the_error_of_a_scaled_truncation_is_the_dense_one():
    D = draw(14, 9)
    U, sigma, Vt = torch.linalg.svd(D, full_matrices=False)
    for rank in (1, 4, 9):
        for scale in (0.3, 1.0, 2.5):
            dense = torch.linalg.matrix_norm(D - scale * (U[:, :rank] * sigma[:rank]) @ Vt[:rank]) / D.norm()
            assert truncation_error(sigma, rank, scale) == pytest.approx(float(dense), abs=1e-7 if rank == 9 else 1e-12)


def test_rank_adds_up_at_most():
    one, two = draw(12, 3) @ draw(3, 10, seed=1), draw(12, 4, seed=2) @ draw(4, 10, seed=3)
    ranks = [numerical_rank(torch.linalg.svdvals(M), 12, 10) for M in (one, two, one + two)]
    assert ranks == [3, 4, 7]
    assert numerical_rank(torch.linalg.svdvals(one - one), 12, 10) == 0


# docs/design/formulas.md#style-and-facts: style/facts, unscaled, alpha/r, alpha/sqrt(r), E_r.
EXPECTED = """
1  .5666/.8884 12.3733/6.9440 12.3733/6.9440 .6790/.2108
2  .2767/.8269 6.7324/4.0221 9.9149/5.8582 .9234/.3162
4  .0128/.7489 2.9998/2.1245 6.9994/4.6989 .9998/.4392
8  .0123/.6535 1.0000/1.0000 4.6565/3.5849 .9998/.5729
16 .0114/.5361 .0114/.5361 2.9998/2.5887 .9999/.7126
32 .0093/.3801 .5001/.5986 1.8284/1.7334 .9999/.8555
64 0/0 .75/.75 1/1 1/1
"""


def test_the_style_facts_table_to_four_decimals():
    rows = {int(row["rank"]): row for row in style_facts_table()}
    for line in EXPECTED.strip().splitlines():
        rank, *cells = line.split()
        for cell, column in zip(cells, ("unscaled", "alpha_over_r", "alpha_over_sqrt_r", "energy"), strict=True):
            for kind, text in zip(("style", "facts"), cell.split("/"), strict=True):
                assert round(rows[int(rank)][f"{kind}_{column}"], 4) == float(text), (rank, kind, column)


def test_the_scale_table():
    expected = {1: (16, 16), 4: (4, 8), 8: (2, 5.6569), 16: (1, 4), 32: (0.5, 2.8284), 64: (0.25, 2)}
    found = {r["rank"]: (round(r["alpha_over_r"], 4), round(r["alpha_over_sqrt_r"], 4)) for r in scale_table()}
    assert found == expected


def test_the_spectra_are_the_ones_stated():
    assert style_spectrum()[:5].tolist() == [10, 6, 3, 1.5, 0.02]
    assert facts_spectrum()[3] == 0.5
    assert kept_energy(style_spectrum(), 64) == 1
