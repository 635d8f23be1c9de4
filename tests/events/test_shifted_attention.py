"""LongLoRA's shifted sparse attention (arXiv 2309.12307) in a run: training passes have it, scoring does not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rankwise import methods
from rankwise.adapters.events import HiddenKey, ShiftedAttention
from rankwise.cost import Workload, model_shape
from rankwise.engine import Forward, train
from rankwise.engine.batches import workload
from rankwise.engine.evaluation.scoring import score
from rankwise.errors import UsageError
from rankwise.execution.packing import SplitSize, run_cost
from rankwise.methods import longlora, lora

from ..engine.packing import alone, packed, same
from ..engine.packing import spec as fingerprinted
from .runs import begin, spec, wide_base

GROUP = 32


def grouped(adapter, group=GROUP):
    return replace(adapter, events=(ShiftedAttention(group),))


def test_training_attends_in_groups_and_scoring_to_everything(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("longlora", rank=4, group=GROUP))
    try:
        for _ in range(3):
            r.train_step()
        (found,) = score(r.trainee.forward, [r.trainee], tiny_splits.selection)
        tensors, losses = r.trainee.snapshot(), r.result.losses
    finally:
        r.close()
    r = begin(tiny_base, tiny_splits, spec("longlora", rank=4))
    try:
        for _ in range(3):
            r.train_step()
        assert all(abs(one - other) > 1e-4 for one, other in zip(losses, r.result.losses, strict=True))
        r.trainee.restore(tensors)
        assert score(r.trainee.forward, [r.trainee], tiny_splits.selection) == [found]
    finally:
        r.close()


def test_padded_training_is_flat_training(tiny_splits):
    """Two implementations of one run, in float64: losses and weights."""
    base = wide_base()
    one = spec("longlora", rank=4, steps=3, group=GROUP)
    flat, padded = (train(base, one, tiny_splits, forward=Forward(base.model, flat=flat)) for flat in (None, False))
    assert flat.losses == pytest.approx(padded.losses, abs=1e-6)  # Llama normalizes in float32
    assert flat.losses != pytest.approx(train(base, spec("longlora", rank=4, steps=3), tiny_splits).losses, abs=1e-4)


@pytest.mark.exactness
def test_packed_is_alone_beside_other_groups_and_none(tiny_base, tiny_splits, tmp_path):
    short = {"steps": 3, "eval_steps": (2,)}
    specs = {
        "in groups": fingerprinted(longlora(2, group=GROUP), **short),
        "whole": fingerprinted(longlora(2), **short, batch=3),
        "lora in others": fingerprinted(grouped(lora(4, dropout=0.1), 16), **short, seed=2),
        "lora": fingerprinted(lora(4), **short),
    }
    by_itself = alone(tiny_base, tiny_splits, specs, tmp_path / "alone")
    assert all(result.status == "done" for result in by_itself[0].values())
    same(by_itself, packed(tiny_base, tiny_splits, specs, tmp_path / "packed"))


def test_nothing_is_left_behind_by_a_run_that_breaks_in_the_middle(tiny_base, tiny_splits):
    before = tiny_base.model.config._attn_implementation

    def stop(record):
        raise RuntimeError("in the middle")

    for flat in (None, False):
        with pytest.raises(RuntimeError, match="in the middle"):
            train(
                tiny_base,
                spec("longlora", rank=2, group=GROUP),
                tiny_splits,
                forward=Forward(tiny_base.model, flat=flat),
                observe=stop,
            )
        assert tiny_base.model.config._attn_implementation == before


def test_operations_are_those_of_the_groups(tiny_base, tiny_splits):
    """Scores of a group count as those of a sequence; six operations and d_attn each."""
    examples = [SimpleNamespace(input_ids=range(100), targets=50)] * 2
    assert workload(examples) == Workload(200, 100, 2 * 100**2)
    still, moved = 3 * 32**2 + 4**2, 16**2 + 2 * 32**2 + 20**2
    assert workload(examples, ShiftedAttention(32).attention) == Workload(200, 100, still + moved)

    one, whole = spec("longlora", rank=2, steps=3, group=GROUP), spec("longlora", rank=2, steps=3)
    mine, full = (train(tiny_base, s, tiny_splits) for s in (one, whole))
    shape, size = model_shape(tiny_base.model), SplitSize.of(tiny_splits.train)
    assert full.flops > mine.flops > 0
    assert (full.flops - mine.flops) % (6 * shape.attention) == 0
    costs = [run_cost(tiny_base.model, "", s, size) for s in (one, whole)]
    assert costs[0].train_flops < costs[1].train_flops
    assert costs[0].pass_bytes < costs[1].pass_bytes
    assert not costs[0].alone


def test_what_it_cannot_serve_is_refused(tiny_base, tiny_splits):
    with pytest.raises(UsageError, match="needs an adapter on layers, found parametrization 'soft-prompt'"):
        replace(methods.prompt_tuning(), events=(ShiftedAttention(),))
    with pytest.raises(UsageError, match="may come once"):
        replace(lora(4), events=(ShiftedAttention(8), ShiftedAttention(16)))
    for pair in ((ShiftedAttention(), HiddenKey()), (HiddenKey(), ShiftedAttention())):
        with pytest.raises(UsageError, match="keep one of them"):
            replace(lora(4), events=pair)
    longest = max(len(example.input_ids) for example in tiny_splits.train)
    with pytest.raises(UsageError, match=f"leaves every training example whole: the longest has {longest} tokens"):
        train(tiny_base, spec("longlora", group=2 * longest), tiny_splits)
    assert longlora() == longlora(group=None)
    assert "training attention in shifted groups of 64" in repr(longlora(group=64))


def test_a_trainer_is_refused_it():
    from rankwise.integrations.trainer_events import TrainerEvents

    handle = SimpleNamespace(adapter=longlora(group=64))
    args = SimpleNamespace(max_grad_norm=0, fp16=False, world_size=1)
    with pytest.raises(UsageError, match="changes attention in training passes only"):
        TrainerEvents(handle, None)._check(args)


def test_files_know_it(tmp_path, tiny_base):
    from rankwise.adapters import Adapter, attach, load, save

    adapter = longlora(2, group=64)
    assert Adapter.from_dict(adapter.to_dict()) == adapter
    handle = attach(tiny_base.model, adapter)
    try:
        folder = save(handle, tmp_path)
    finally:
        handle.detach()
    loaded = load(tiny_base.model, folder)
    try:
        assert loaded.adapter == adapter
    finally:
        loaded.detach()
