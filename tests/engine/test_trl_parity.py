"""In float32, 20 steps of our loop equal TRL's SFTTrainer (+ PEFT) on the same order of data.

Clipping is active (the bound is far below the gradient norm), accumulation is 1 and 4.
"""

import copy
import math

import pytest
import torch

from rankwise.adapters import Full, attach, save
from rankwise.engine import TrainSpec, train
from rankwise.methods import lora

from ..in_order import trainer_in_order

STEPS, BATCH, CLIP = 20, 4, 0.05


def spec_for(target, lr):
    return TrainSpec(target, lr=lr, steps=STEPS, batch=BATCH, micro_batch=BATCH, clip=CLIP, seed=7)


def trl_run(model, spec, splits, accumulation, folder):
    """Train ``model`` with TRL on the very windows our spec reads; return (losses, gradient norms)."""
    model.config.use_cache = False
    trainer = trainer_in_order(model, spec, splits, accumulation, folder)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return [log["loss"] for log in logs], [log["grad_norm"] for log in logs]


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_curves_and_weights_equal_trl(kind, accumulation, tiny_base, tiny_splits, tmp_path):
    target = lora(rank=8) if kind == "lora" else Full()
    spec = spec_for(target, 1e-2 if kind == "lora" else 3e-3)
    theirs = copy.deepcopy(tiny_base.model)
    if kind == "lora":
        from peft import PeftModel

        start = attach(copy.deepcopy(tiny_base.model), target, seed=spec.seed)
        save(start, tmp_path / "start")
        theirs = PeftModel.from_pretrained(theirs, tmp_path / "start", is_trainable=True)
    else:
        theirs.requires_grad_(True)

    ours = train(tiny_base, spec, tiny_splits, save_to=tmp_path / "ours")
    losses, norms = trl_run(theirs, spec, tiny_splits, accumulation, tmp_path / "trl")

    assert min(norms) > CLIP, "clipping must be active in every step, or this test shows less than it says"
    assert len(losses) == STEPS
    assert max(abs(a - b) for a, b in zip(ours.losses, losses, strict=True)) < 1e-4
    assert ours.losses[0] - ours.losses[-1] > 0.1, "the loss must move, or equality is empty"
    assert math.isfinite(losses[-1])
    if kind == "full":
        from transformers import AutoModelForCausalLM

        mine = AutoModelForCausalLM.from_pretrained(tmp_path / "ours").state_dict()
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(mine[name], value, atol=2e-4, rtol=1e-3)
    else:
        from safetensors.torch import load_file

        mine = load_file(tmp_path / "ours" / "adapter_model.safetensors")
        state = {k.replace(".default", ""): v for k, v in theirs.state_dict().items() if "lora_" in k}
        assert set(mine) == set(state)
        for name, value in state.items():
            torch.testing.assert_close(mine[name], value, atol=2e-4, rtol=1e-3)
