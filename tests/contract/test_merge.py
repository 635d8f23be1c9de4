"""Merged equals unmerged; unmerging puts back the very same tensors; adapters leave in the reverse order."""

from __future__ import annotations

import pytest
import torch

from rankwise.adapters import switch
from rankwise.errors import UsageError
from rankwise.methods import dora, lora, pissa

from .models import LLAMA
from .tools import attach, close, dense_weights, every_model, every_row, move, run


@every_model
@every_row
def test_merged_equals_unmerged_and_unmerge_restores_the_same_tensors(row, tiny):
    base, model = tiny.make(), tiny.make()
    handle = attach(model, row.adapter)
    move(handle)
    adapted = run(model, tiny)
    weights = {path: layer.weight for path, layer in handle.layers.items()}
    bits = {path: weight.detach().clone() for path, weight in weights.items()}

    handle.merge()
    assert handle.merged
    close(run(model, tiny), adapted)
    factors = {name: p.detach() for name, p in handle.trainable().items()}
    for name, expected in dense_weights(base, row, factors, handle).items():
        merged = model.get_parameter(name)
        close(merged.detach(), expected)
        assert merged.is_contiguous()
        assert not merged.requires_grad

    handle.unmerge()
    assert not handle.merged
    for path, layer in handle.layers.items():
        assert layer.weight is weights[path]
        assert torch.equal(layer.weight, bits[path])
    assert torch.equal(run(model, tiny), adapted)


@every_model
@every_row
def test_switching_from_one_merged_adapter_to_another_is_a_fresh_merge(row, tiny):
    model, fresh = tiny.make(), tiny.make()
    one, two = attach(model, row.adapter, name="one"), attach(model, row.adapter, seed=1, name="two")
    alone = attach(fresh, row.adapter, seed=1)
    move(one, seed=1)
    move(two, seed=2)
    move(alone, seed=2)
    one.merge()
    switch(one, two)
    assert two.merged
    assert not one.merged
    alone.merge()
    for path in tiny.shapes:
        assert torch.equal(model.get_submodule(path).weight, fresh.get_submodule(path).weight)
    assert torch.equal(run(model, tiny), run(fresh, tiny))


@every_row
def test_twenty_merges_in_bfloat16_do_not_drift(row):
    """Subtracting the update again would let a bfloat16 base drift (docs/design/files.md#what-the-base-keeps)."""
    model = LLAMA.make(torch.bfloat16)
    handle = attach(model, row.adapter)
    move(handle)
    first = {path: layer.weight for path, layer in handle.layers.items()}
    bits = {path: weight.detach().clone() for path, weight in first.items()}
    for _ in range(20):
        handle.merge()
        handle.unmerge()
    assert all(
        layer.weight is first[path] and torch.equal(layer.weight, bits[path]) for path, layer in handle.layers.items()
    )


def test_unmerging_out_of_order_is_refused_and_changes_nothing():
    """The two share only some layers: the check must come before the first layer is touched."""
    model = LLAMA.make()
    wide, narrow = attach(model, lora(2), name="wide"), attach(model, lora(2, placement="mlp"), name="narrow")
    move(wide)
    move(narrow)
    expected = run(model, LLAMA)
    wide.merge()
    narrow.merge()
    weights = [layer.weight for layer in wide.layers.values()]
    for attempt in (wide.unmerge, wide.detach):
        with pytest.raises(UsageError, match="'wide' was merged before 'narrow'; unmerge 'narrow' first"):
            attempt()
    assert all(layer.weight is w for layer, w in zip(wide.layers.values(), weights, strict=True))
    close(run(model, LLAMA), expected)
    narrow.unmerge()
    wide.unmerge()
    assert torch.equal(run(model, LLAMA), expected)


def test_mistakes_in_the_order_of_calls_are_named():
    model = LLAMA.make()
    handle = attach(model, lora(2))
    with pytest.raises(UsageError, match="'default' is not merged"):
        handle.unmerge()
    handle.merge()
    with pytest.raises(UsageError, match="'default' is already merged"):
        handle.merge()
    with pytest.raises(UsageError, match="'default' is merged; unmerge it before disabling it"):
        handle.disable()
    handle.detach()
    with pytest.raises(UsageError, match="'default' was detached"):
        handle.merge()


@pytest.mark.parametrize("adapter", [lora(3), pissa(3), dora(3), dora(3, axis="in")], ids=repr)
def test_an_adapter_started_on_a_merged_one_is_an_update_of_that(adapter):
    """Continue training: merge, start a new one; the first can leave the weights later."""
    model = LLAMA.make()
    first = attach(model, lora(2), name="first")
    move(first)
    adapted = run(model, LLAMA)
    first.merge()
    second = attach(model, adapter, name="second")
    close(run(model, LLAMA), adapted)
    move(second)
    both = run(model, LLAMA)
    first.unmerge()
    close(run(model, LLAMA), both)
