"""The same event at the same steps with the same effect under SFTTrainer as in our loop, and after a resume."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from rankwise.adapters import attach, load
from rankwise.adapters.events import Event, MergeAndRestart
from rankwise.adapters.penalties import Orthogonality
from rankwise.engine import TrainSpec, train
from rankwise.errors import UsageError
from rankwise.integrations.trainer import RankwiseCallback
from rankwise.methods import adalora, bilora, dylora, galore, lora, prilora, relora, riemannian_lora
from rankwise.models.tiny import tiny_model

from ..in_order import trainer_in_order
from .test_trainer import losses, trainer_for

STEPS, BATCH = 7, 4
TARGET = replace(lora(rank=4), events=(MergeAndRestart(3),), penalties=(Orthogonality(0.05),))


@dataclass(frozen=True)
class Early(Event):
    name: ClassVar[str] = "early"

    def after_backward(self, ctx):
        pass


@dataclass(frozen=True)
class Owner(Event):
    name: ClassVar[str] = "owner"
    owns_base: ClassVar[bool] = True


def in_order(handle, spec, splits, callback, folder, accumulation):
    """SFTTrainer on the very windows our spec reads."""
    trainer = trainer_in_order(handle.model, spec, splits, accumulation, folder, callbacks=[callback])
    trainer.train()
    return trainer


@pytest.mark.parametrize("accumulation", [1, 2])
def test_same_steps_same_effect(accumulation, tiny_base, tiny_splits, tmp_path):
    spec = TrainSpec(TARGET, lr=1e-2, steps=STEPS, batch=BATCH, micro_batch=BATCH, clip=0.5, seed=7)
    ours = train(tiny_base, spec, tiny_splits, save_to=tmp_path / "ours")
    handle = attach(tiny_model(), TARGET, seed=7)
    callback = RankwiseCallback(handle, probe=lambda: 1.5)
    trainer = in_order(handle, spec, tiny_splits, callback, tmp_path / "theirs", accumulation)

    assert [e["step"] for e in ours.events] == [3, 6]
    assert [(e["step"], e["event"], e["moment"]) for e in callback.fired] == [
        (e["step"], e["event"], e["moment"]) for e in ours.events
    ]
    for theirs, own in zip(callback.fired, ours.events, strict=True):
        assert theirs["ranks_after"] == own["ranks_after"]
        assert theirs["update_norm_after"] == pytest.approx(own["update_norm_after"], rel=1e-4)
        assert theirs["probe_loss_before"] == 1.5
    assert list(losses(trainer).values()) == pytest.approx(ours.losses, abs=1e-4)
    assert callback.events.penalties["orthogonality"] == pytest.approx(ours.penalties["orthogonality"], rel=1e-4)
    mine, other = (load(tiny_model(), tmp_path / where) for where in ("ours", "theirs"))
    assert mine.adapter == other.adapter
    assert mine.adapter.rank == 12
    for name, p in mine.trainable().items():
        torch.testing.assert_close(other.trainable()[name], p, atol=2e-4, rtol=1e-3)
    assert [log for log in trainer.state.log_history if log.get("event")] == callback.fired


@pytest.mark.parametrize(
    "target",
    [dylora(rank=4), relora(rank=2, merges=2, warmup=0.5), adalora(rank=6, every=2), riemannian_lora(rank=4)],
    ids=["dylora", "relora", "adalora", "riemannian"],
)
def test_narrowed_passes_shaped_rates_and_preconditioned_steps_act_there_too(target, tiny_base, tiny_splits, tmp_path):
    spec = TrainSpec(target, lr=1e-2, steps=STEPS, batch=BATCH, micro_batch=BATCH, clip=0.5, seed=7)
    ours = train(tiny_base, spec, tiny_splits)
    handle = attach(tiny_model(), target, seed=7)
    callback = RankwiseCallback(handle)
    trainer = in_order(handle, spec, tiny_splits, callback, tmp_path, 1)
    assert [(e["step"], e["moment"]) for e in callback.fired] == [(e["step"], e["moment"]) for e in ours.events]
    assert list(losses(trainer).values()) == pytest.approx(ours.losses, abs=3e-4)
    assert all(slot.lens is None for slot in handle.slots.values())


def test_a_step_of_its_own_kind_needs_that_optimizer(tmp_path):
    handle = attach(tiny_model(), galore(rank=4), seed=0)
    with pytest.raises(UsageError, match=r"wants its own step, Adam on gradients projected to rank 4.*has AdamW"):
        trainer_for(handle, tmp_path).train()


def test_a_resumed_run_equals_the_undisturbed_one(tmp_path):
    """The checkpoint falls between two merges: merged pairs, event stream and the optimizer's gaps come back."""
    handle = attach(tiny_model(), replace(TARGET, dropout=0.1), seed=3)
    callback = RankwiseCallback(handle)
    whole = trainer_for(handle, tmp_path, callback)
    whole.train()
    assert [e["step"] for e in callback.fired] == [3, 6]

    again = attach(tiny_model(), handle.adapter, seed=99)
    second = RankwiseCallback(again)
    trainer = trainer_for(again, tmp_path, second)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert [e["step"] for e in second.fired] == [6]
    assert losses(trainer) == losses(whole)
    for path, slot in handle.slots.items():
        for key, value in slot.state_dict().items():
            assert torch.equal(again.slots[path].state_dict()[key], value), (path, key)
    assert slot.state_dict()["merged_A"].shape[0] == 8


@pytest.mark.parametrize(
    ("target", "changes", "words"),
    [
        (
            replace(lora(rank=2), events=(Early(),)),
            {},
            r"acts between backward and clipping.*max_grad_norm=0 \(found 1\)",
        ),
        (replace(lora(rank=2), events=(Owner(),)), {}, "writes the base"),
        (prilora(rank=2), {}, "reads single training examples, which a Trainer does not offer"),
        (bilora(rank=2), {"max_grad_norm": 0.0}, "decides which examples a step reads"),
    ],
)
def test_what_a_trainer_cannot_do_is_refused_before_the_first_step(target, changes, words, tmp_path):
    handle = attach(tiny_model(), target, seed=0)
    with pytest.raises(UsageError, match=words):
        trainer_for(handle, tmp_path, **changes).train()
