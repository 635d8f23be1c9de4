"""A bfloat16 model that computes in float32 for a moment: the numbers of its float32 twin, and nothing left behind."""

import pytest
import torch

from rankwise import methods
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.evaluation.float32_compute import wide_dtype, widened
from rankwise.engine.run import Run
from rankwise.models import load_base

IDS = torch.tensor([[5, 9, 3, 7, 2]])


@pytest.fixture(scope="module")
def narrow():
    return load_base("tiny", dtype=torch.bfloat16)


def test_it_is_the_float32_twin_and_leaves_no_trace(narrow):
    twin = load_base("tiny", dtype=torch.float32).model
    for one, other in zip(twin.parameters(), narrow.model.parameters(), strict=True):
        one.data.copy_(other.data)
    before = {name: value.clone() for name, value in narrow.model.state_dict().items()}
    places = [p.data_ptr() for p in narrow.model.parameters()]
    with torch.no_grad():
        plain = narrow.model(IDS).logits
        with widened(narrow.model):
            wide = narrow.model(IDS).logits
        assert plain.dtype == torch.bfloat16
        assert wide.dtype == wide_dtype(narrow.model) == torch.float32
        torch.testing.assert_close(wide, twin(IDS).logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(narrow.model(IDS).logits, plain)
    assert places == [p.data_ptr() for p in narrow.model.parameters()]
    for name, value in narrow.model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_a_fault_inside_leaves_no_trace(narrow):
    def fail(*_):
        raise ValueError("inside a block")

    hook = narrow.model.base_model.layers[1].mlp.register_forward_pre_hook(fail)
    try:
        with pytest.raises(ValueError, match="inside a block"), widened(narrow.model):
            narrow.model(IDS)
    finally:
        hook.remove()
    assert {p.dtype for p in narrow.model.parameters()} == {torch.bfloat16}


def test_a_folded_event_has_no_jump_in_a_bfloat16_run(narrow, tiny_splits):
    """Measured in bfloat16 itself, the same event seems to move the loss by a hundred times as much."""
    adapter = methods.lora(rank=4, alpha=32)
    from dataclasses import replace

    from rankwise.adapters.events import Orthogonalize

    spec = TrainSpec(
        replace(adapter, events=(Orthogonalize("polar_fold", 2),)), lr=1e-2, steps=4, batch=4, micro_batch=4
    )
    run = Run(narrow, Forward(narrow.model), spec, tiny_splits)
    try:
        for _ in range(4):
            run.train_step()
    finally:
        run.close()
    events = run.result.events
    assert [event["probe_dtype"] for event in events] == ["float32"] * 2
    for event in events:
        assert abs(event["probe_loss_after"] - event["probe_loss_before"]) < 3e-6
        assert event["bf16_probe_loss_after"] != event["probe_loss_after"]
