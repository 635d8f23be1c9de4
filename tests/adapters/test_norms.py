"""LN-tuning: the gains and biases of normalizations, in every family we can build."""

from __future__ import annotations

import pytest
import torch

from rankwise.adapters import attach, load, orientation, save
from rankwise.errors import UsageError
from rankwise.methods import bitfit, ln_tuning
from rankwise.models import tiny_model

from ..contract.models import GPT2, LLAMA
from ..contract.tools import base_hash, close, loss, move, run, train

models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
KINDS = ("llama", "qwen2", "gpt2", "gemma2", "opt")


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_normalizes_as_we_say(kind):
    """The layer with twice the gain is the layer plus gain times what we call normalized."""
    model = tiny_model(kind=kind, dtype=torch.float64)
    norms = {n: m for n, m in model.named_modules() if orientation.host_of(m) and orientation.host_of(m).vector}
    assert len(norms) >= 5
    for norm in norms.values():
        x = torch.randn(3, len(norm.weight), dtype=torch.float64)
        before, extra = norm(x), torch.randn(len(norm.weight), dtype=torch.float64)
        more = extra * orientation.host_of(norm).normalized(norm, x)
        with torch.no_grad():
            norm.weight.add_(extra)
        torch.testing.assert_close(norm(x), before + more, rtol=1e-5, atol=1e-5)  # these layers compute in float32


@models
def test_it_is_training_the_normalizations_themselves(tiny):
    model, plain = tiny.make(), tiny.make()
    before = run(model, tiny)
    handle = attach(model, ln_tuning())
    assert torch.equal(run(model, tiny), before)
    own = {}
    for path in handle.layers:
        own |= {f"{path}.{name}": p for name, p in plain.get_submodule(path).named_parameters()}
    assert sum(m.trainable for m in handle.matched) == sum(p.numel() for p in own.values())
    optimizers = [torch.optim.SGD(ps, lr=0.05) for ps in (handle.trainable().values(), own.values())]
    for _ in range(3):
        for net, optimizer in zip((model, plain), optimizers, strict=True):
            optimizer.zero_grad()
            loss(net, tiny).backward()
            optimizer.step()
    torch.testing.assert_close(run(model, tiny), run(plain, tiny), rtol=1e-5, atol=1e-5)
    handle.merge()
    for name, p in own.items():
        torch.testing.assert_close(model.get_parameter(name).detach(), p.detach(), rtol=1e-5, atol=1e-5)
    handle.unmerge()
    handle.detach()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), tiny.make().parameters(), strict=True))


@models
def test_merged_is_unmerged_and_files_come_back(tiny, tmp_path):
    model, fresh = tiny.make(), tiny.make()
    kept = base_hash(model)
    handle = attach(model, ln_tuning())
    train(model, tiny, handle)
    move(handle)
    assert base_hash(model) == kept
    adapted = run(model, tiny)
    load(fresh, save(handle, tmp_path))
    assert torch.equal(run(fresh, tiny), adapted)
    handle.merge()
    torch.testing.assert_close(run(model, tiny), adapted, rtol=1e-5, atol=1e-5)


def test_it_agrees_with_peft():
    peft = pytest.importorskip("peft")
    config = peft.LNTuningConfig(target_modules=["ln_1", "ln_2", "ln_f"])
    wrapped, model = peft.get_peft_model(GPT2.make(), config).eval(), GPT2.make()
    handle = attach(model, ln_tuning())
    move(handle)
    with torch.no_grad():
        for path, slot in handle.slots.items():
            theirs = wrapped.base_model.model.get_submodule(path).ln_tuning_layers["default"]
            theirs.weight.add_(slot.factors["w"])
            theirs.bias.add_(slot.factors["b"])
    close(run(wrapped, GPT2), run(model, GPT2))


def test_a_matrix_is_no_normalization_and_the_other_way_round():
    with pytest.raises(UsageError, match="is a Linear; 'norm-tuning' is for normalizations: placement 'norms'"):
        attach(LLAMA.make(), ln_tuning("all-linear"))
    with pytest.raises(UsageError, match="placement 'biases' matches no linear module"):
        attach(LLAMA.make(), bitfit())
