"""In float32, 20 steps of our loop equal TRL's SFTTrainer (+ PEFT) on the same order of data.

Clipping is active (the bound is far below the gradient norm), accumulation is 1 and 4.
"""

import copy
import math

import pytest
import torch

from rankwise.adapters import Full, attach, save
from rankwise.engine import TrainSpec, train
from rankwise.engine.batches import window
from rankwise.methods import lora

STEPS, BATCH, CLIP = 20, 4, 0.05


def spec_for(target, lr):
    return TrainSpec(target, lr=lr, steps=STEPS, batch=BATCH, micro_batch=BATCH, clip=CLIP, seed=7)


def trl_run(model, spec, splits, accumulation, folder):
    """Train ``model`` with TRL on the very windows our spec reads; return (losses, gradient norms)."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import SFTConfig, SFTTrainer

    from rankwise.models import byte_tokenizer

    order = [i for step in range(STEPS) for i in window(spec, len(splits.train), step)]
    rows = [splits.train[i] for i in order]
    data = Dataset.from_dict(
        {
            "input_ids": [list(e.input_ids) for e in rows],
            "labels": [
                [token if target else -100 for token, target in zip(e.input_ids, e.target_mask, strict=True)]
                for e in rows
            ],
        }
    )

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH // accumulation,
        gradient_accumulation_steps=accumulation,
        max_steps=STEPS,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        max_grad_norm=CLIP,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        max_length=None,
        completion_only_loss=True,
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        seed=0,
    )
    model.config.use_cache = False
    trainer = InOrder(model=model, args=arguments, train_dataset=data, processing_class=byte_tokenizer())
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
