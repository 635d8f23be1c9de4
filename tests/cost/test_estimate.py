"""The whole estimate against runs of the engine and files on disk."""

import json

import pytest
import torch

import rankwise.methods as methods
from rankwise.adapters import Full, attach, save
from rankwise.cost import Plan, Workload, adapter_flops, blueprint, estimate, full_flops, model_shape
from rankwise.cost.calibrate import gemm_rate
from rankwise.engine import Forward
from rankwise.engine.trainees import make_trainee
from rankwise.errors import UsageError
from rankwise.models import tiny_model

from .conftest import adapters

PLAN = Plan(batch=16, length=100, targets=30, steps=5)


TARGETS = {name: build() for name, build in adapters(rank=4).items()}
TARGETS |= {"olora-mlp": methods.olora(4, placement="mlp"), "full": Full()}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_operations_are_the_engines(target, tiny_base):
    found = estimate(blueprint("tiny"), target, PLAN)
    trainee = make_trainee(tiny_base.model, Forward(tiny_base.model), target, 0)
    shape = model_shape(tiny_base.model)
    side = found.adapter or found.full
    assert side.flops_per_step == trainee.flops(shape, Workload(1600, 480, 16 * 100**2))
    assert side.trainable == sum(p.numel() for p in trainee.parameters.values())
    trainee.close()


def test_adapter_beside_full_by_hand():
    found = estimate(blueprint("Qwen2.5-0.5B"), methods.lora(16), PLAN)
    shape = model_shape(blueprint("Qwen2.5-0.5B").model)
    work = Workload(1600, 480, 160_000)
    assert found.full.flops_per_step == full_flops(shape, work)
    assert found.adapter.flops_per_step == adapter_flops(shape, work, list(shape.linear), 8_798_208)
    assert 0.6 < found.ratios["flops"] < 0.75
    assert found.ratios["trainable"] == 8_798_208 / 494_032_768 == found.adapter.share
    # bf16: base 2; full: base 2 + copy 2 + masters 4 + gradients 4 + moments 8 bytes a weight
    exact = sum(v for k, v in found.full.memory.items() if k not in ("activations", "logits"))
    assert exact == 20 * 494_032_768
    exact = sum(v for k, v in found.adapter.memory.items() if k not in ("activations", "logits"))
    assert exact == 2 * 494_032_768 + 16 * 8_798_208


@pytest.mark.parametrize("target", [methods.lora(8), methods.olora(8)], ids=["lora", "olora"])
def test_disk_is_what_saving_writes(target, tmp_path):
    model = tiny_model()
    save(attach(model, target), tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    expected = estimate(blueprint("tiny"), target, PLAN).adapter.disk_bytes
    headers = 200 * 4 * len(model_shape(tiny_model()).linear)
    assert expected <= written <= expected + headers


def test_full_alone_has_no_ratios():
    found = estimate(blueprint("tiny"), Full(), PLAN)
    assert found.adapter is None
    assert found.ratios == {}
    assert found.full.share == 1


def test_passes_hold_eight_examples_at_most():
    small, large = (estimate(blueprint("tiny"), Full(), Plan(batch=b, length=64, targets=8)) for b in (8, 64))
    assert small.full.memory == large.full.memory
    assert large.full.flops_per_step == 8 * small.full.flops_per_step


def test_capped_logits_cost_every_token():
    adapter = methods.lora(1)
    few, many = (
        estimate(blueprint("Gemma-2-2B"), adapter, Plan(length=64, targets=t)).adapter.memory["logits"] for t in (1, 60)
    )
    assert few == many == 8 * 64 * 256000 * 10


def test_time_is_operations_over_the_measured_rate():
    found = estimate(blueprint("tiny"), methods.lora(4), PLAN, calibrate_on="cpu")
    rate = found.gemm_flops_per_second
    assert found.adapter.seconds_per_step == found.adapter.flops_per_step / rate
    assert estimate(blueprint("tiny"), methods.lora(4), PLAN).adapter.seconds_per_step is None


def test_rate_is_plausible():
    rate = gemm_rate(256, 256, 256, torch.float32, seconds=0.05)
    assert 1e8 < rate < 1e15


def test_json_is_plain(tmp_path):
    found = estimate(blueprint("GPT-2"), methods.lora(4, placement="attention"), PLAN).to_dict()
    again = json.loads(json.dumps(found))
    assert again["adapter"]["memory_bytes"] == sum(again["adapter"]["memory"].values())
    assert again["adapter"]["flops"] == 5 * again["adapter"]["flops_per_step"]
    assert again["full"]["seconds"] is None
    assert sum(kind["parameters"] for kind in again["kinds"]) == again["parameters"] == 124_439_808


def test_too_long_for_the_model_is_said():
    assert any("1024 positions" in n for n in estimate(blueprint("GPT-2"), Full(), Plan(length=2000)).notes)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"batch": 0}, "--batch must be at least 1, found 0"),
        ({"steps": -1}, "--steps must be at least 1"),
        ({"length": 8, "targets": 8}, "below --length"),
        ({"targets": 0}, "--targets must be at least 1"),
    ],
)
def test_bad_plans(values, says):
    with pytest.raises(UsageError, match=says):
        Plan(**values)
