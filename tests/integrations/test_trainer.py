"""An attached adapter under SFTTrainer: what is saved, and that a resumed run equals an undisturbed one in float32."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankwise.adapters import attach, load
from rankwise.errors import UsageError
from rankwise.integrations.trainer import DIGEST, SPEC, STREAM, RankwiseCallback
from rankwise.methods import dora, lora, lora_plus, olora
from rankwise.models import byte_tokenizer
from rankwise.models.tiny import tiny_model

STEPS, SAVE = 8, 4
WITH_DROPOUT = lora(rank=4, dropout=0.2)


def rows():
    from datasets import Dataset

    return Dataset.from_list([{"prompt": f"{a} and {a + 1} make", "completion": f" {2 * a + 1}."} for a in range(40)])


def trainer_for(handle, folder, callback=None, evaluate=False, optimizers=(None, None), **changes):
    from trl import SFTConfig, SFTTrainer

    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "save_steps": SAVE,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "report_to": "none",
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        **changes,
    }
    return SFTTrainer(
        handle.model,
        SFTConfig(**settings),
        train_dataset=rows(),
        eval_dataset=rows().select(range(8)) if evaluate else None,
        processing_class=byte_tokenizer(),
        callbacks=[callback or RankwiseCallback(handle)],
        optimizers=optimizers,
    )


def losses(trainer):
    return {log["step"]: log["loss"] for log in trainer.state.log_history if "loss" in log}


@pytest.fixture(
    scope="module", params=[WITH_DROPOUT, olora(rank=4), dora(rank=4)], ids=["lora with dropout", "olora", "dora"]
)
def undisturbed(request, tmp_path_factory):
    """A finished run: its handle, its losses by step, its folder."""
    folder = tmp_path_factory.mktemp("sft")
    handle = attach(tiny_model(), request.param, seed=3)
    trainer = trainer_for(handle, folder)
    trainer.train()
    return handle, losses(trainer), folder


def test_training_moves_the_adapter_and_never_the_base(undisturbed):
    handle, curve, _ = undisturbed
    start = attach(tiny_model(), handle.adapter, seed=3)
    assert all(not torch.equal(p, start.trainable()[name]) for name, p in handle.trainable().items())
    base = tiny_model().state_dict()
    mine = handle.model.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in base.items())
    assert curve[STEPS] < curve[1] - 0.2


def test_a_resumed_run_equals_the_undisturbed_one(undisturbed, caplog):
    handle, curve, folder = undisturbed
    again = attach(tiny_model(), handle.adapter, seed=99)  # another start: everything must come from the checkpoint
    trainer = trainer_for(again, folder)
    with caplog.at_level(logging.WARNING, logger="transformers"):
        logging.getLogger("transformers").propagate = True
        trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{SAVE}"))
    assert losses(trainer) == curve
    for name, factor in handle.trainable().items():
        assert torch.equal(again.trainable()[name], factor), name
    for path, slot in handle.slots.items():
        for name, start in slot.start.items():
            assert torch.equal(again.slots[path].start[name], start)
    assert torch.equal(again.generator.get_state(), handle.generator.get_state())
    assert not [r for r in caplog.records if "missing keys" in r.getMessage() or "unexpected" in r.getMessage()]


def test_a_checkpoint_holds_the_adapter_in_peft_layout_and_not_the_base(undisturbed):
    from peft import PeftModel

    handle, _, folder = undisturbed
    checkpoint = folder / f"checkpoint-{STEPS}"
    state = load_file(checkpoint / "model.safetensors")
    own = {f"{path}.adapters.default" for path in handle.layers}
    assert {key.rsplit(".", 1)[0] for key in set(state) - {SPEC, STREAM, DIGEST}} == own
    assert not (checkpoint / "config.json").exists(), "from_pretrained must not take it for a whole model"
    ids = torch.arange(40, 60)[None]
    with torch.no_grad():
        expected = handle.model.eval()(ids).logits
        for place in (checkpoint, folder):
            assert torch.equal(load(tiny_model(), place).model(ids).logits, expected)
            theirs = PeftModel.from_pretrained(tiny_model(), place).eval()(ids).logits
            torch.testing.assert_close(theirs, expected, atol=1e-4, rtol=1e-4)
    assert not (folder / "model.safetensors").exists()


def test_a_damaged_checkpoint_is_refused_as_the_trainer_was_told_to_resume_from_it(undisturbed, tmp_path):
    handle, _, folder = undisturbed
    place = tmp_path / f"checkpoint-{SAVE}"
    shutil.copytree(folder / place.name, place)
    again = attach(tiny_model(), handle.adapter, seed=99)
    before = {name: factor.clone() for name, factor in again.trainable().items()}
    trainer = trainer_for(again, tmp_path / "out")
    sound = load_file(place / "model.safetensors")
    factor = next(name for name in sound if name.endswith(".A"))
    for key in (factor, STREAM, DIGEST):
        changed = sound[key].clone()
        changed.view(-1)[-1] += 1
        save_file({**sound, key: changed}, place / "model.safetensors", {"format": "pt"})
        with pytest.raises(UsageError, match="is damaged: its tensors are not those that were written; remove that"):
            trainer.train(resume_from_checkpoint=str(place))
        assert all(torch.equal(before[name], factor) for name, factor in again.trainable().items())


def test_the_best_checkpoint_comes_back_at_the_end(tmp_path):
    handle = attach(tiny_model(), lora(rank=2), seed=0)
    trainer = trainer_for(
        handle,
        tmp_path,
        evaluate=True,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=2,
        max_steps=4,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,  # the loss falls, so the "best" is the first: not what the last step left behind
    )
    trainer.train()
    best = trainer.state.best_model_checkpoint
    assert best.endswith("checkpoint-2")
    saved = load(tiny_model(), best)
    final = load(tiny_model(), tmp_path)
    for name, factor in handle.trainable().items():
        assert torch.equal(factor, saved.trainable()[name])
        assert torch.equal(factor, final.trainable()[name])


def test_another_adapter_does_not_resume(undisturbed):
    handle, _, folder = undisturbed
    other = attach(tiny_model(), replace(handle.adapter, alpha=handle.adapter.alpha * 2), seed=3)
    before = {name: p.clone() for name, p in other.trainable().items()}
    with pytest.raises(UsageError, match="another adapter"):
        trainer_for(other, folder).train(resume_from_checkpoint=str(folder / f"checkpoint-{SAVE}"))
    assert all(torch.equal(p, before[name]) for name, p in other.trainable().items())


def test_merged_or_detached_the_model_saves_itself(tmp_path):
    from transformers import AutoModelForCausalLM

    handle = attach(tiny_model(), lora(rank=2), seed=0)
    with torch.no_grad():
        for factor in handle.trainable().values():
            factor.add_(0.1)
    RankwiseCallback(handle)
    model, ids = handle.model, torch.arange(40, 60)[None]
    model.save_pretrained(tmp_path / "adapter")
    assert {p.name for p in (tmp_path / "adapter").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "rankwise.json", "rankwise.sha256")
    }
    handle.merge()
    with torch.no_grad():
        merged = model(ids).logits
    model.save_pretrained(tmp_path / "merged")
    with torch.no_grad():
        torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits, merged)
    handle.detach()
    model.save_pretrained(tmp_path / "base")
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "base")(ids).logits
        assert torch.equal(again, tiny_model()(ids).logits)


def test_a_whole_state_dict_still_loads(undisturbed):
    """The hooks leave every other state dict alone: missing keys are reported as ever."""
    handle = attach(tiny_model(), lora(rank=2), seed=0)
    RankwiseCallback(handle)
    result = handle.model.load_state_dict(tiny_model().state_dict(), strict=False)
    assert set(result.missing_keys) == {
        f"{path}.adapters.default.{factor}" for path in handle.layers for factor in ("A", "B")
    }
    with pytest.raises(RuntimeError, match="Missing key"):
        handle.model.load_state_dict(tiny_model().state_dict())


def test_a_second_callback_takes_the_first_ones_place(tmp_path):
    handle = attach(tiny_model(), lora(rank=2), seed=0)
    RankwiseCallback(handle)
    hooks = len(handle.model._load_state_dict_pre_hooks)
    RankwiseCallback(handle)
    assert len(handle.model._load_state_dict_pre_hooks) == hooks
    second = attach(handle.model, lora(rank=2), seed=1, name="second")
    with pytest.raises(UsageError, match="already trains under"):
        RankwiseCallback(second)
    with pytest.raises(UsageError, match=r"tensors outside adapter 'default' would train.*adapters\.second"):
        trainer_for(handle, tmp_path).train()


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match="needs a Hugging Face model, found Sequential"):
        RankwiseCallback(attach(torch.nn.Sequential(torch.nn.Linear(4, 4)), lora(rank=2)))

    one, two = (attach(tiny_model(), lora(rank=2), seed=0) for _ in range(2))
    with pytest.raises(UsageError, match="another model"):
        trainer_for(one, tmp_path, RankwiseCallback(two)).train()

    head = attach(tiny_model(tied=False), lora(rank=2, placement="regex:q_proj|lm_head"), seed=0)
    with pytest.raises(UsageError, match="output head"):
        trainer_for(head, tmp_path).train()

    one.merge()
    with pytest.raises(UsageError, match="merged or detached"):
        trainer_for(one, tmp_path).train()
    one.unmerge()
    with pytest.raises(UsageError, match="no option 'push_to_hub'"):
        one.model.save_pretrained(tmp_path / "x", push_to_hub=True)


def test_an_optimizer_of_the_adapters_own_is_not_ignored(tmp_path):
    handle = attach(tiny_model(), lora_plus(rank=2, ratio=4), seed=0)
    with pytest.raises(UsageError, match=r"wants lr of B x 4, the Trainer's optimizer has other rates"):
        trainer_for(handle, tmp_path).train()
    groups = handle.adapter.optimizer.groups(handle.trainable(), 1e-3)
    trainer = trainer_for(handle, tmp_path, optimizers=(torch.optim.AdamW(groups), None), max_steps=1, save_steps=1)
    trainer.train()
    assert {group["initial_lr"] for group in trainer.optimizer.param_groups} == {1e-3, 4e-3}


def test_peft_config_names_the_base_it_was_loaded_from(tmp_path):
    from transformers import AutoModelForCausalLM

    tiny_model().save_pretrained(tmp_path / "base")
    handle = attach(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), lora(rank=2), seed=0)
    RankwiseCallback(handle)
    handle.model.save_pretrained(tmp_path / "checkpoint-1")
    config = json.loads((tmp_path / "checkpoint-1" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "base")
    # With PEFT installed, transformers finds base and adapter from the checkpoint alone.
    ids = torch.arange(40, 60)[None]
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint-1")(ids).logits
        torch.testing.assert_close(found, handle.model.eval()(ids).logits, atol=1e-5, rtol=1e-5)
