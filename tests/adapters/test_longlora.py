"""LongLoRA: LoRA on attention, the gains and biases of normalizations and the table of input embeddings train."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from rankwise.adapters import Adapter, attach
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import LongContext
from rankwise.adapters.placements import AllLinear
from rankwise.errors import UsageError
from rankwise.methods import build, longlora

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import base_hash, files_come_back, loss, move, nothing_else_trains, run, train

models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])


def tensors(tiny, handle):
    """What the base's own tensors would be, one matrix, gain or table at a time; s is 6 / 2."""
    base, found = tiny.make(), {}
    for path, slot in handle.slots.items():
        f, module = {name: value.detach() for name, value in slot.factors.items()}, base.get_submodule(path)
        W = module.weight.detach()
        if "A" in f:
            delta = 3 * torch.einsum("or,ri->oi", f["B"], f["A"])
            found[f"{path}.weight"] = W + (delta if isinstance(module, nn.Linear) else delta.T)
        elif "D" in f:
            found[f"{path}.weight"] = W + f["D"].T
        else:
            found[f"{path}.weight"] = W + f["w"]
            if "b" in f:
                found[f"{path}.bias"] = module.bias.detach() + f["b"]
    return found


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # Llama normalizes in float32


@models
def test_it_starts_at_the_base_and_is_the_formula_afterwards(tiny):
    model, base = tiny.make(), tiny.make()
    before = run(model, tiny)
    handle = attach(model, longlora(2, 6.0))
    assert torch.equal(run(model, tiny), before)
    move(handle)
    with torch.no_grad():
        near(run(model, tiny), functional_call(base, tensors(tiny, handle), (tiny.inputs,), tie_weights=False).logits)
    assert (run(model, tiny) - before).abs().max() > 1e-3


@models
def test_gains_biases_and_table_have_the_gradients_of_the_tensors_themselves(tiny):
    model, base = tiny.make(), tiny.make()
    handle = attach(model, longlora(2, 6.0))
    move(handle)
    leaves = {name: t.requires_grad_() for name, t in tensors(tiny, handle).items()}
    functional_call(base, leaves, (tiny.inputs,), tie_weights=False).logits.square().mean().backward()
    loss(model, tiny).backward()
    for name, p in handle.trainable().items():
        path, _, factor = name.rpartition(".")
        if factor in "wbD":
            own = leaves[f"{path}.{'bias' if factor == 'b' else 'weight'}"].grad
            near(p.grad.T if factor == "D" else p.grad, own)


@models
def test_embeddings_and_norms_are_the_only_tensors_beside_lora_that_train(tiny):
    """arXiv 2309.12307, section 3.3: |LoRA| + |embeddings| + |norms| parameters, and no gradient anywhere else."""
    model = tiny.make()
    before = base_hash(model)
    attention = {p: s for p, s in tiny.shapes.items() if "attn" in p}
    norms = [m for n, m in model.named_modules() if n.endswith("norm") or n.rpartition(".")[2].startswith("ln_")]
    expected = sum(2 * (m + n) for m, n in attention.values()) + 32 * 16
    expected += sum(p.numel() for norm in norms for p in norm.parameters())
    handle = attach(model, longlora(2))
    assert sum(m.trainable for m in handle.matched) == expected
    train(model, tiny, handle)
    nothing_else_trains(model, tiny, handle)
    assert base_hash(model) == before


@models
def test_merging_is_the_adapter_and_unmerging_gives_the_very_tensors_back(tiny):
    model = tiny.make()
    own = dict(model.named_parameters())
    handle = attach(model, longlora(2))
    train(model, tiny, handle)
    adapted = run(model, tiny)
    handle.merge()
    near(run(model, tiny), adapted)
    handle.unmerge()
    assert torch.equal(run(model, tiny), adapted)
    handle.detach()
    assert all(p is own[name] for name, p in model.named_parameters())


@models
def test_files_come_back_bit_for_bit_and_training_goes_on(tiny, tmp_path):
    files_come_back(tiny, longlora(2), tmp_path)


def test_what_it_cannot_sit_on_is_refused_with_the_reason():
    with pytest.raises(UsageError, match="finds no attention projection in this Sequential"):
        attach(SEQUENTIAL.make(), longlora())
    with pytest.raises(UsageError, match=r"gate_proj is a Linear; 'norm-tuning' is for normalizations"):
        attach(LLAMA.make(), Adapter(parametrization=LongContext(), init=Own(), placement=AllLinear()))
    assert build("longlora", rank=4, alpha=8.0) == longlora(4, 8.0)
