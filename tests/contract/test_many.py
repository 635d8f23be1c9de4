"""Several adapters on one base: they add up, they do not touch each other, they switch on and off exactly."""

from __future__ import annotations

import pytest
import torch

from rankwise.adapters import Handle, mixed, switch
from rankwise.errors import UsageError
from rankwise.methods import lora, olora, pissa

from .models import LLAMA, SEQUENTIAL
from .table import ROWS
from .tools import as_stored, attach, close, every_model, every_row, move, run, with_weights


def _factors(handle):
    return {name: p.detach().clone() for name, p in handle.trainable().items()}


@every_model
@every_row
def test_disabled_is_the_base_and_enabled_is_the_adapter_again(row, tiny):
    model = tiny.make()
    base = run(model, tiny)
    handle = attach(model, row.adapter)
    move(handle)
    adapted = run(model, tiny)
    with handle.disable():
        assert torch.equal(run(model, tiny), base)
    assert torch.equal(run(model, tiny), adapted)
    handle.disable()
    assert torch.equal(run(model, tiny), base)
    handle.enable()
    handle.enable()  # twice is once
    assert torch.equal(run(model, tiny), adapted)
    with pytest.raises(ZeroDivisionError), handle.disable():
        raise ZeroDivisionError
    assert torch.equal(run(model, tiny), adapted), "back on after an error inside the block"


@every_model
@every_row
@pytest.mark.parametrize("other", [olora(4), pissa(3)], ids=["olora", "pissa"])
def test_a_stack_is_the_sum_and_the_second_does_not_change_the_first(row, other, tiny):
    """PEFT corrupts the first adapter when a second PiSSA or OLoRA comes; here it keeps every bit."""
    base, model = tiny.make(), tiny.make()
    first = attach(model, row.adapter, name="first")
    move(first, seed=1)
    alone, kept = run(model, tiny), _factors(first)
    deltas = {path: first.delta(path) for path in tiny.shapes}

    second = attach(model, other, name="second")
    move(second, seed=2)
    assert all(torch.equal(kept[name], p) for name, p in first.trainable().items())
    assert all(torch.equal(deltas[path], first.delta(path)) for path in tiny.shapes)
    with second.disable():
        assert torch.equal(run(model, tiny), alone)

    weights = {}
    for path in tiny.shapes:
        module = base.get_submodule(path)
        weights[f"{path}.weight"] = module.weight + as_stored(module, deltas[path] + second.delta(path))
        if row.bias is not None and module.bias is not None:
            weights[f"{path}.bias"] = module.bias + row.bias(module.bias, first.slots[path].factors)
    expected = with_weights(base, weights, tiny).detach()
    both = run(model, tiny)
    close(both, expected)

    first.disable()
    first.enable()
    assert torch.equal(run(model, tiny), both), "sums round as before"
    second.detach()
    assert torch.equal(run(model, tiny), alone)


@every_model
@every_row
def test_switching_equals_separate_models(row, tiny):
    model = tiny.make()
    names = ("one", "two")
    handles = [attach(model, row.adapter, seed=i, name=name) for i, name in enumerate(names)]
    separate = []
    for i, handle in enumerate(handles):
        move(handle, seed=i)
        own = tiny.make()
        move(attach(own, row.adapter, seed=i), seed=i)
        separate.append(run(own, tiny))
    for on, off, expected in ((0, 1, separate[0]), (1, 0, separate[1]), (0, 1, separate[0])):
        switch(handles[off], handles[on])
        assert torch.equal(run(model, tiny), expected)


@every_model
@every_row
def test_a_mixed_batch_equals_separate_runs(row, tiny):
    """Each row as if it were alone with its adapter; the base's rows keep the base's bits."""
    model = tiny.make()
    base = run(model, tiny)
    rows: list[Handle | None] = [None] * len(tiny.inputs)
    one = attach(model, row.adapter, name="one")
    two = attach(model, olora(3), seed=1, name="two")
    move(one, seed=1)
    move(two, seed=2)
    rows[0] = one
    rows[-1] = two if len(rows) > 2 else None
    expected = base.clone()
    for handle, other in ((one, two), (two, one)):
        with other.disable():
            alone = run(model, tiny)
        for i, own in enumerate(rows):
            expected[i] = alone[i] if own is handle else expected[i]
    together = run(model, tiny)
    with mixed(model, rows):
        found = run(model, tiny)
    close(found, expected)
    assert (found[0] - base[0]).abs().max() > 1e-3
    assert torch.equal(found[1], base[1]), "no adapter, no change"
    assert torch.equal(run(model, tiny), together), "outside the block all is as before"


def test_a_name_can_be_used_once_per_model_and_a_refusal_leaves_nothing():
    model = LLAMA.make()
    attach(model, lora(2, placement="mlp"))
    keys = list(model.state_dict())
    with pytest.raises(UsageError, match=r"'default' is already attached to model\.layers\.0\.mlp\.gate_proj"):
        attach(model, lora(2))
    assert list(model.state_dict()) == keys
    again = attach(model, lora(2, placement="attention"))  # other modules, so no clash
    assert len(again.layers) == 8


@pytest.mark.parametrize("name", ["", "a.b", "train", "values", "items", "type", "training", "forward"])
def test_names_that_torch_cannot_hold_are_refused(name):
    """``train`` and ``values`` are plausible names for a task; torch's ModuleDict would break half-way."""
    model = SEQUENTIAL.make()
    with pytest.raises(UsageError, match=f"adapter.*{name!r}"):
        attach(model, lora(2), name=name)
    assert not any("adapters" in key for key in model.state_dict())


def test_after_the_last_detach_a_handle_holds_nothing():
    model = SEQUENTIAL.make()
    handle = attach(model, ROWS[0].adapter)
    handle.detach()
    handle.detach()
    assert handle.trainable() == {}
    assert len(handle.matched) == 0
