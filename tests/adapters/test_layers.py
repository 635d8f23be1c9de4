"""The adapted layer: dropout from its own stream, and no way around the adapter."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rankwise.adapters import attach
from rankwise.errors import UsageError
from rankwise.methods import lora

from ..contract.models import LLAMA, SEQUENTIAL, outputs
from ..contract.tools import loss, move


def _one_layer(dropout, *, rank=2, seed=0):
    model = nn.Sequential(nn.Linear(40, 3, bias=False)).double()
    with torch.no_grad():
        model[0].weight.zero_()
    handle = attach(model, lora(rank, alpha=rank, dropout=dropout), seed=seed)
    with torch.no_grad():
        handle.slots["0"].B.fill_(1.0)
    return model, handle


def test_dropout_zeroes_inputs_of_the_adapter_path_and_keeps_their_mean():
    model, handle = _one_layer(0.25)
    with torch.no_grad():
        handle.slots["0"].A.copy_(torch.eye(2, 40))  # the update shows inputs 0 and 1, summed
    x = torch.zeros(20_000, 40, dtype=torch.float64)
    x[:, 0] = 3.0
    y = model.train()(x)[:, 0]
    kept = y != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 4.0))  # 3 / (1 - 0.25)
    assert kept.double().mean() == pytest.approx(0.75, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)
    assert torch.equal(model.eval()(x)[:, 0], torch.full_like(y, 3.0))


def test_dropout_masks_come_from_the_adapters_own_stream():
    """Neither the global stream nor a neighbor's draws in the same passes move them; the seed does."""
    x = torch.randn(6, 8, dtype=torch.float64)

    def updates(*, neighbor=False, seed=0):
        model = SEQUENTIAL.make().train()
        state = torch.get_rng_state()
        if neighbor:
            move(attach(model, lora(3, dropout=0.5), seed=9, name="neighbor"))
        handle = attach(model, lora(4, dropout=0.5), seed=seed)
        move(handle)
        seen = []
        handle.slots["0"].register_forward_hook(lambda slot, inputs, update: seen.append(update.detach()))
        for _ in range(3):
            model(x)
        assert torch.equal(torch.get_rng_state(), state), "the global stream is not touched"
        return torch.stack(seen)

    first = updates()
    assert not torch.equal(first[0], first[1]), "every pass has its own mask"
    torch.manual_seed(77)
    assert torch.equal(first, updates(neighbor=True))
    assert not torch.equal(first, updates(seed=1))


def test_the_dropout_stream_can_be_rewound():
    model = SEQUENTIAL.make().train()
    handle = attach(model, lora(4, dropout=0.5))
    move(handle)
    state = handle.generator.get_state()
    first = outputs(model, SEQUENTIAL.inputs)
    second = outputs(model, SEQUENTIAL.inputs)
    handle.generator.set_state(state)
    assert torch.equal(outputs(model, SEQUENTIAL.inputs), first)
    assert not torch.equal(first, second)


def test_an_adapter_attached_to_a_model_in_training_drops_at_once():
    model = SEQUENTIAL.make().train()
    handle = attach(model, lora(4, dropout=0.5))
    assert all(slot.training for slot in handle.slots.values())


@pytest.mark.parametrize("reentrant", [True, False])
def test_dropout_under_gradient_checkpointing_is_refused_not_wrong(reentrant):
    """The second forward would draw other masks; torch restores only its global stream."""
    model = SEQUENTIAL.make().train()
    handle = attach(model, lora(4, dropout=0.5))
    move(handle)
    x = SEQUENTIAL.inputs.clone().requires_grad_()
    y = checkpoint(model, x, use_reentrant=reentrant)
    with pytest.raises(UsageError, match=r"dropout 0\.5 with gradient checkpointing"):
        y.sum().backward()


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_without_dropout_gives_the_same_gradients(reentrant):
    model = LLAMA.make()
    handle = attach(model, lora(4))
    move(handle)
    model.train()
    loss(model, LLAMA).backward()
    plain = [p.grad.clone() for p in handle.trainable().values()]
    model.zero_grad()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    loss(model, LLAMA).backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(handle.trainable().values(), plain, strict=True))


@pytest.mark.parametrize("gradients", [True, False])
def test_torchs_fused_encoder_layer_runs_the_adapter_too(gradients):
    """In eval it reads linear1.weight and linear2.weight without calling the layers, unless one has a hook."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double().eval()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    with torch.set_grad_enabled(gradients):
        base = model(x)
        handle = attach(model, lora(4))
        move(handle)
        adapted = model(x)
        assert (adapted - base).abs().max() > 1e-2
        torch.testing.assert_close(adapted, model.train()(x), rtol=0, atol=1e-12)
        model.eval()
        handle.merge()
        torch.testing.assert_close(model(x), adapted, rtol=0, atol=1e-12)
        handle.detach()
        assert torch.equal(model(x), base)


def test_a_forward_put_on_the_instance_is_refused_because_it_would_bypass_the_adapter():
    """accelerate's offloading does so: the class we swap would never be asked."""
    model = SEQUENTIAL.make()
    layer = model[3]
    layer.forward = functools.partial(nn.Linear.forward, layer)
    with pytest.raises(UsageError, match="3 has a forward of its own, put there by another library"):
        attach(model, lora(2))
    assert type(model[0]) is nn.Linear


def test_an_adapted_layer_is_still_a_linear():
    model = SEQUENTIAL.make()
    attach(model, lora(2))
    assert isinstance(model[0], nn.Linear)
    assert type(model[0]).__name__ == "AdaptedLinear"
    assert model[0].in_features == 8


def test_two_layers_that_share_a_weight_keep_sharing_it_until_one_is_merged():
    twin = nn.Sequential(nn.Linear(12, 12, bias=False), nn.Linear(12, 12, bias=False)).double()
    twin[1].weight = twin[0].weight
    shared = twin[0].weight
    handle = attach(twin, lora(2))
    move(handle)
    handle.merge()
    assert twin[0].weight is not twin[1].weight
    handle.unmerge()
    assert twin[0].weight is twin[1].weight is shared
