"""Several adapters on one base: switching in place, mixed batches, going on from an adapter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters import attach, load, mixed, save, switch
from rankwise.errors import UsageError
from rankwise.methods import dora, lora, olora, pissa

from ..contract.models import GPT2, LLAMA, outputs
from ..contract.tools import base_hash, close, loss, move, run, train

IDS = torch.tensor([[1, 5, 9, 2], [30, 3, 4, 11], [7, 7, 0, 1], [2, 9, 9, 6], [12, 1, 4, 4]])


def _three(model):
    """Different methods, different placements, one of them shared."""
    adapters = (lora(2, placement="attention"), dora(3), pissa(2, placement="mlp"))
    handles = [attach(model, adapter, seed=i, name=f"task{i}") for i, adapter in enumerate(adapters)]
    for i, handle in enumerate(handles):
        move(handle, seed=i)
    return handles


def _alone(model, handles, own, ids):
    """The logits of ``ids`` with ``own`` as the only adapter."""
    for handle in handles:
        handle.disable()
    if own is not None:
        own.enable()
    with torch.no_grad():
        logits = model(ids).logits
    for handle in handles:
        handle.enable()
    return logits


# mixed batches


@pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("order", [(0, 1, 2, None, 0), (None, 2, 2, 2, None), (1, 1, 1, 1, 1), (None,) * 5], ids=str)
def test_every_row_equals_a_run_of_its_own(order, tiny):
    model = tiny.make()
    handles = _three(model)
    rows = [None if i is None else handles[i] for i in order]
    with mixed(model, rows), torch.no_grad():
        together = model(IDS).logits
    for i, own in enumerate(rows):
        close(together[i : i + 1], _alone(model, handles, own, IDS[i : i + 1]))


def test_a_disabled_adapter_acts_on_the_rows_that_name_it_and_nothing_else_acts():
    model = LLAMA.make()
    handles = _three(model)
    expected = [_alone(model, handles, own, IDS) for own in (handles[1], None)]
    handles[1].disable()
    with mixed(model, [handles[1], None, handles[1], None, None]), torch.no_grad():
        found = model(IDS).logits
    close(found[[0, 2]], expected[0][[0, 2]])
    assert torch.equal(found[[1, 3, 4]], expected[1][[1, 3, 4]]), "the base's bits"
    assert handles[1].name not in next(iter(handles[1].layers.values())).enabled, "as it was before the block"


def test_gradients_of_a_mixed_batch_are_those_of_separate_batches():
    model = LLAMA.make()
    handles = _three(model)
    rows = [handles[0], handles[1], None, handles[1], handles[0]]
    with mixed(model, rows):
        model(IDS).logits.square().sum().backward()
    together = [{n: p.grad.clone() for n, p in handle.trainable().items()} for handle in handles[:2]]
    assert all(p.grad is None for p in handles[2].trainable().values())
    model.zero_grad()
    for own, other, members in ((0, 1, [0, 4]), (1, 0, [1, 3])):
        with handles[other].disable(), handles[2].disable():
            model(IDS[members]).logits.square().sum().backward()
        for name, p in handles[own].trainable().items():
            close(p.grad, together[own][name])


def test_peft_mixes_a_batch_alike():
    """Its adapter_names, with "__base__" for no adapter."""
    peft = pytest.importorskip("peft")
    model = LLAMA.make()
    one, two = (attach(model, lora(r, alpha=8), name=f"r{r}") for r in (2, 3))
    theirs = peft.get_peft_model(LLAMA.make(), peft.LoraConfig(r=2, lora_alpha=8, target_modules="all-linear"), "r2")
    theirs.add_adapter("r3", peft.LoraConfig(r=3, lora_alpha=8, target_modules="all-linear"))
    for handle in (one, two):
        move(handle)
        with torch.no_grad():
            for path, slot in handle.slots.items():
                layer = theirs.get_submodule(f"base_model.model.{path}")
                layer.lora_A[handle.name].weight.copy_(slot.factors["A"])
                layer.lora_B[handle.name].weight.copy_(slot.factors["B"])
    with mixed(model, [two, None, one, one, two]), torch.no_grad():
        ours = model(IDS).logits
    with torch.no_grad():
        close(ours, theirs.eval()(IDS, adapter_names=["r3", "__base__", "r2", "r2", "r3"]).logits)


def test_generation_in_a_mixed_batch():
    model = LLAMA.make()
    handles = _three(model)
    rows = [handles[0], None, handles[1], handles[2], None]
    with mixed(model, rows):
        together = model.generate(IDS, max_new_tokens=4, do_sample=False, pad_token_id=0)
    for i, own in enumerate(rows):
        for handle in handles:
            handle.disable()
        if own is not None:
            own.enable()
        alone = model.generate(IDS[i : i + 1], max_new_tokens=4, do_sample=False, pad_token_id=0)
        assert torch.equal(together[i : i + 1], alone)


def test_outside_the_block_everything_is_as_before_also_after_an_error():
    model = LLAMA.make()
    handles = _three(model)
    before = run(model, LLAMA)
    with pytest.raises(ZeroDivisionError), mixed(model, [handles[0], None]):
        raise ZeroDivisionError
    assert torch.equal(run(model, LLAMA), before)


def test_mistakes_in_mixing_are_named_and_change_nothing():
    model, other = LLAMA.make(), LLAMA.make()
    first, second, third = _three(model)
    stranger = attach(other, lora(2), name="stranger")
    before = run(model, LLAMA)

    def refused(rows, message):
        with pytest.raises(UsageError, match=message), mixed(model, rows):
            pytest.fail("the block must not be entered")
        assert torch.equal(run(model, LLAMA), before)

    refused([], "needs one entry per example")
    refused([first, "task0"], r"row 1 of mixed\(\) must be a handle or None, found 'task0'")
    refused([None, stranger], r"adapter 'stranger' \(row 1 of mixed\(\)\) is not attached to this model")
    with mixed(model, [first, None]):
        with pytest.raises(UsageError, match="cannot be used inside another mixed"), mixed(model, [None]):
            pytest.fail("the block must not be entered")
        with pytest.raises(UsageError, match=r"was given 2 rows, but a layer got an input of shape \(5, 4, 16\)"):
            model(IDS)
        for act in (first.merge, second.detach):
            with pytest.raises(UsageError, match=r"leave the mixed\(\) block before (merging|detaching) adapter"):
                act()
    assert torch.equal(run(model, LLAMA), before)
    third.merge()
    with pytest.raises(UsageError, match="adapter 'task2' is merged; unmerge it"), mixed(model, [first, None]):
        pytest.fail("the block must not be entered")
    third.unmerge()
    third.detach()
    with pytest.raises(UsageError, match=r"'task2' .* is not attached"), mixed(model, [third, None]):
        pytest.fail("the block must not be entered")


# switching


@pytest.mark.parametrize("merged", [False, True], ids=["beside", "in the weights"])
def test_many_switches_leave_no_trace(merged):
    model = LLAMA.make(torch.bfloat16)
    untouched = base_hash(model)
    one, two = attach(model, lora(2), name="one"), attach(model, dora(3, placement="mlp"), name="two")
    move(one)
    move(two)
    two.disable()
    if merged:
        one.merge()
    first = run(model, LLAMA)
    for _ in range(5):
        switch(one, two)
        second = run(model, LLAMA)
        switch(two, one)
        assert torch.equal(run(model, LLAMA), first)
        assert (one.merged, two.merged) == (merged, False)
    assert not torch.equal(first, second)
    one.detach()
    two.detach()
    assert base_hash(model) == untouched


def test_mistakes_in_switching_are_named_and_change_nothing():
    model = LLAMA.make()
    one, two, third = _three(model)
    stranger = attach(LLAMA.make(), lora(2), name="stranger")
    gone = attach(model, lora(2), name="gone")
    gone.detach()
    one.merge()
    two.merge()
    before = run(model, LLAMA)
    for old, new, message in (
        (one, one, "needs two adapters, found 'task0' twice"),
        (one, stranger, "'task0' and 'stranger' are on different models"),
        (one, gone, "'gone' was detached"),
        (gone, one, "'gone' was detached"),
        (one, two, "'task1' is already merged"),
        (one, third, "'task0' was merged before 'task1'"),
    ):
        with pytest.raises(UsageError, match=message):
            switch(old, new)
        assert torch.equal(run(model, LLAMA), before)


# going on from an adapter


@pytest.mark.parametrize("adapter", [lora(3), dora(3), olora(3)], ids=["lora", "dora", "olora"])
def test_training_goes_on_from_a_saved_adapter(adapter, tmp_path):
    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, adapter)
    train(model, LLAMA, handle)
    start = loss(model, LLAMA).item()
    loaded = load(fresh, save(handle, tmp_path))
    assert loss(fresh, LLAMA).item() == start
    train(model, LLAMA, handle)
    train(fresh, LLAMA, loaded)
    assert loss(fresh, LLAMA).item() < start
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA)), "the same bits as without the file"


@pytest.mark.parametrize("adapter", [lora(3), dora(3), olora(3)], ids=["lora", "dora", "olora"])
def test_training_goes_on_in_a_new_adapter_over_a_merged_one(adapter, tmp_path):
    """The first stays what it was; the second is saved as an update of the merged model, and found there again."""
    model = LLAMA.make()
    first = attach(model, lora(2), name="first")
    train(model, LLAMA, first)
    start = loss(model, LLAMA).item()
    kept = {name: p.detach().clone() for name, p in first.trainable().items()}
    first.merge()
    second = attach(model, adapter, seed=1, name="second")
    train(model, LLAMA, second)
    assert loss(model, LLAMA).item() < start
    assert all(torch.equal(kept[name], p) for name, p in first.trainable().items()), "merged adapters do not train"
    again = LLAMA.make()
    base = load(again, save_unmerged(first, tmp_path / "first"), name="first")
    base.merge()
    load(again, save(second, tmp_path / "second"), name="second")
    close(run(again, LLAMA), run(model, LLAMA))


def save_unmerged(handle, folder):
    """Save from a twin: the original stays merged under its successor."""
    twin = attach(LLAMA.make(), handle.adapter)
    with torch.no_grad():
        for own, theirs in zip(twin.trainable().values(), handle.trainable().values(), strict=True):
            own.copy_(theirs)
    return save(twin, folder)


def test_a_plain_module_can_be_mixed_too():
    model = nn.Sequential(nn.Linear(8, 4)).double()
    handle = attach(model, lora(2))
    move(handle)
    x = torch.randn(3, 8, dtype=torch.float64)
    both = outputs(model, x).detach()
    with mixed(model, [None, handle, None]):
        y = model(x).detach()
    close(y[1], both[1])
    assert not torch.allclose(y[0], both[0])
