"""Rule 1: the base is never written. Only ``merge`` changes what a layer computes with, in a new tensor."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from rankwise.adapters.inits import INITS, PiSSA
from rankwise.methods import lora, pissa

from .models import LLAMA, SEQUENTIAL
from .tools import attach, base_hash, base_tensors, every_model, every_row, move, run, train


@every_model
@every_row
def test_base_is_bit_identical_through_a_whole_life(row, tiny):
    model = tiny.make()
    before, keys = base_hash(model), list(model.state_dict())
    first = attach(model, row.adapter)
    assert base_hash(model) == before, "attach"
    assert list(base_tensors(model)) == keys, "the base's state-dict keys do not move"
    train(model, tiny, first)
    assert base_hash(model) == before, "training"
    second = attach(model, row.adapter, seed=1, name="second")
    train(model, tiny, second)
    assert base_hash(model) == before, "a second adapter"
    second.merge()
    first.merge()
    assert base_hash(model) != before, "merging must show"
    first.unmerge()
    second.unmerge()
    assert base_hash(model) == before, "unmerge"
    first.detach()
    assert base_hash(model) == before, "detaching one of two"
    second.detach()
    assert base_hash(model) == before, "detach"
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("init", [i for i in INITS.values() if not (i.needs_data or i.quantized)], ids=lambda i: i.name)
def test_no_init_writes_the_weight_it_is_given(init, dtype):
    """In float32 and float64 the init sees the base's own memory, not a copy."""
    W0 = torch.randn(10, 6, dtype=dtype)
    kept = W0.clone()
    init().start(W0.to(torch.promote_types(dtype, torch.float32)), 4, 2.0, torch.Generator())
    assert torch.equal(W0, kept)


@every_model
@every_row
def test_detach_gives_back_classes_attributes_and_requires_grad(row, tiny):
    model = tiny.make()
    for i, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(i % 3 != 0)  # the person had frozen some of it

    def anatomy():
        return {
            name: (type(m), set(vars(m)), set(m._modules), len(m._forward_pre_hooks))
            for name, m in model.named_modules()
        }

    def grads():
        return [p.requires_grad for p in model.parameters()]

    before, flags, tensors = anatomy(), grads(), list(model.parameters())
    logits = run(model, tiny)
    first = attach(model, row.adapter)
    second = attach(model, row.adapter, name="second")
    move(first)
    move(second)
    first.merge()
    first.detach()
    assert not any(p.requires_grad for name, p in model.named_parameters() if "adapters" not in name)
    second.detach()
    after = anatomy()
    assert {n: a[0] for n, a in after.items()} == {n: a[0] for n, a in before.items()}
    assert {n: a[1] - {"_rankwise_frozen"} for n, a in after.items()} == {n: a[1] for n, a in before.items()}
    assert {n: a[2:] for n, a in after.items()} == {n: a[2:] for n, a in before.items()}
    assert grads() == flags
    assert all(a is b for a, b in zip(model.parameters(), tensors, strict=True)), "the very same tensors"
    assert torch.equal(run(model, tiny), logits)


@every_row
def test_a_copy_of_an_adapted_model_stands_on_its_own(row):
    model = LLAMA.make()
    handle = attach(model, row.adapter)
    move(handle)
    before = run(model, LLAMA)
    twin = copy.deepcopy(model)
    handle.detach()
    assert torch.equal(run(twin, LLAMA), before)


def test_a_failing_init_leaves_nothing_behind():
    """The last layer's SVD fails: the layers before it must not stay adapted, nor the base frozen."""
    model = SEQUENTIAL.make()
    with torch.no_grad():
        model[3].weight[0, 0] = float("nan")
    classes = [type(m) for m in model.modules()]
    with pytest.raises(torch.linalg.LinAlgError):
        attach(model, pissa(2))
    assert [type(m) for m in model.modules()] == classes
    assert all(p.requires_grad for p in model.parameters())


def test_merging_a_tied_head_does_not_write_the_embedding():
    model = LLAMA.make()
    embedding = model.get_input_embeddings().weight
    assert model.lm_head.weight is embedding, "the test needs tied weights"
    kept = embedding.detach().clone()
    handle = attach(model, replace(lora(4, placement="regex:lm_head|q_proj"), init=PiSSA(), alpha=4.0))
    assert "lm_head" in handle.layers
    move(handle)
    adapted = run(model, LLAMA)
    handle.merge()
    torch.testing.assert_close(run(model, LLAMA), adapted, rtol=1e-10, atol=1e-10)
    assert model.get_input_embeddings().weight is embedding
    assert torch.equal(embedding, kept)
    handle.unmerge()
    assert model.lm_head.weight is embedding, "tied again"
