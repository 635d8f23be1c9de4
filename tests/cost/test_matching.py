"""The matcher of docs/design/formulas.md#placements-and-matched-ranks"""

import pytest

from rankwise.adapters.placements import MLP, Attention
from rankwise.cost import blueprint, match_ranks, model_shape
from rankwise.cost.matching import coefficient
from rankwise.errors import UsageError
from rankwise.models import tiny_model


@pytest.fixture(scope="module")
def qwen():
    return model_shape(blueprint("Qwen2.5-0.5B").model)


def test_the_tutorials_pair(qwen):
    assert (coefficient(qwen, Attention()), coefficient(qwen, MLP())) == (135_168, 414_720)
    found = match_ranks(qwen)
    assert (found.attention, found.mlp) == (96, 32)
    assert (found.attention_parameters, found.mlp_parameters) == (12_976_128, 13_271_040)
    assert found.difference == pytest.approx(0.0227, abs=5e-5)


def test_candidates_are_the_callers(qwen):
    found = match_ranks(qwen, [6, 3], [2, 1])
    assert (found.attention, found.mlp) == (3, 1)
    exact = match_ranks(qwen, [414720, 1], [135168])
    assert exact.difference == 0


def test_of_equals_the_smaller(qwen):
    assert match_ranks(qwen, [2 * 414720, 414720], [2 * 135168, 135168]).mlp == 135168


def test_gpt2_tells_its_two_c_proj_apart():
    shape = model_shape(tiny_model(kind="gpt2"))
    # width 32, 2 layers: c_attn 32 -> 96, attn c_proj 32 -> 32; c_fc 32 -> 128, mlp c_proj 128 -> 32
    assert coefficient(shape, Attention()) == 2 * (32 + 96 + 32 + 32)
    assert coefficient(shape, MLP()) == 2 * (32 + 128 + 128 + 32)


@pytest.mark.parametrize("ranks", [[], [0, 4]])
def test_bad_candidates(qwen, ranks):
    with pytest.raises(UsageError, match="candidate ranks for attention"):
        match_ranks(qwen, attention=ranks)
