"""Adapter sizes against closed forms, published numbers, and what attaching really adds."""

import pytest

import rankwise.methods as methods
from rankwise.adapters import attach
from rankwise.cost import blueprint, model_shape
from rankwise.cost.count import adapter_parameters, kinds
from rankwise.models import tiny_model

from .conftest import adapters


def total(model, adapter):
    return sum(adapter_parameters(model, adapter).values())


def test_llama_2_70b_query_and_value():
    # 80 layers x 8 x ((8192 + 8192) + (8192 + 1024)): grouped-query attention makes v_proj thin
    model = blueprint("LLaMA-2-70B").model
    assert total(model, methods.lora(8, placement="q_proj,v_proj")) == 16_384_000


@pytest.fixture(scope="module")
def qwen():
    return blueprint("Qwen2.5-0.5B").model


@pytest.mark.parametrize(
    ("rank", "trainable"),
    [(1, 549_888), (16, 8_798_208), (64, 35_192_832), (128, 70_385_664), (256, 140_771_328)],
)
def test_qwen_all_linear(qwen, rank, trainable):
    assert total(qwen, methods.lora(rank)) == trainable


def test_qwen_linear_weights(qwen):
    assert model_shape(qwen).linear_weights == 357_826_560


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("method", adapters(rank=4))
def test_equals_what_attaching_adds(kind, method):
    if (kind, method) == ("gpt2", "prefix_tuning"):
        pytest.skip("GPT-2 has no keys and values of their own")
    model = tiny_model(kind=kind)
    adapter = adapters(rank=4)[method]()
    counted = adapter_parameters(model, adapter)
    handle = attach(model, adapter)
    assert counted == {match.module: match.trainable for match in handle.matched}
    assert sum(counted.values()) == sum(p.numel() for p in handle.trainable().values())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_kinds_cover_every_parameter_once(kind, tied):
    model = tiny_model(kind=kind, tied=tied)
    counted = adapter_parameters(model, methods.lora(4, placement="attention"))
    rows = kinds(model, counted)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert sum(row.adapter for row in rows) == sum(counted.values())
    assert len({(row.name, row.shape) for row in rows}) == len(rows)
    head = next(row for row in rows if row.name == "lm_head")
    assert (head.parameters == 0) == tied


def test_kinds_of_a_llama():
    rows = {row.name: row for row in kinds(tiny_model(), {"model.layers.1.mlp.up_proj": 768})}
    assert rows["self_attn.k_proj"].shape == (32, 64)
    assert rows["self_attn.k_proj"].modules == 2
    assert rows["self_attn.k_proj"].parameters == 2 * 32 * 64
    assert rows["mlp.up_proj"].adapter == 768
    assert rows["norm"].parameters == 64
