"""The table of docs/design/formulas.md#scale, and what rank stabilization means."""

from __future__ import annotations

import pytest
import torch

from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank, Constant
from rankwise.methods import lora, rslora

TABLE = {  # rank: (alpha/r, alpha/sqrt(r)) at alpha = 16
    1: (16.0, 16.0),
    4: (4.0, 8.0),
    8: (2.0, 5.6569),
    16: (1.0, 4.0),
    32: (0.5, 2.8284),
    64: (0.25, 2.0),
}


@pytest.mark.parametrize("rank", TABLE)
def test_scale_table_to_four_decimals(rank):
    plain, stabilized = TABLE[rank]
    assert f"{lora(rank, alpha=16).s:.4f}" == f"{plain:.4f}"
    assert f"{rslora(rank, alpha=16).s:.4f}" == f"{stabilized:.4f}"


def test_constant_ignores_the_rank():
    assert {Constant().factor(0.5, rank) for rank in TABLE} == {0.5}


def test_formulas_show_the_numbers():
    assert AlphaOverRank().formula(32.0, 16) == "(32/16)"
    assert AlphaOverSqrtRank().formula(8.0, 16) == "(8/√16)"
    assert Constant().formula(0.75, 16) == "0.75"


def test_only_the_square_root_keeps_one_step_of_training_equally_loud_at_every_rank():
    """Theorem 3.2 of rsLoRA: A ~ N(0, 1/n), one gradient step from B = 0 gives an update of size s^2 r."""
    n, stream = 256, torch.Generator().manual_seed(0)
    x = torch.randn(n, generator=stream, dtype=torch.float64)
    g = torch.randn(n, generator=stream, dtype=torch.float64)

    def loudness(scaling, rank, draws=100):
        s, total = scaling.factor(1.0, rank), 0.0
        for _ in range(draws):
            A = torch.randn(rank, n, generator=stream, dtype=torch.float64) / n**0.5
            B = -s * torch.outer(g, A @ x)  # dL/dB = s G A^T with G = g x^T
            total += (s * B @ (A @ x)).norm().item()
        return total / draws

    assert loudness(AlphaOverSqrtRank(), 16) / loudness(AlphaOverSqrtRank(), 128) == pytest.approx(1, rel=0.15)
    assert loudness(AlphaOverRank(), 16) / loudness(AlphaOverRank(), 128) == pytest.approx(8, rel=0.15)
