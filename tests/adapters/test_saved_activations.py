"""What the fused layer keeps for its backward pass: d_in numbers a token only where an A trains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters import Adapter, attach
from rankwise.adapters.freezing import Only
from rankwise.adapters.fused import Segment, segmented
from rankwise.adapters.inits import Symmetric
from rankwise.methods import asymmetric_lora, lora, lora_fa

from ..contract.tools import move

RANK, D_IN, D_OUT, TOKENS = 3, 40, 24, 10


def made(*adapters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(D_IN, D_OUT)).requires_grad_(False)
    names = [f"a{i}" for i in range(len(adapters))]
    for seed, (name, adapter) in enumerate(zip(names, adapters, strict=True)):
        move(attach(model, adapter, name=name), seed=7 * seed)
    return model[0], names


def passed(layer, names):
    """Output, gradients of x and of all that trains, and the bytes kept between the passes."""
    x = torch.randn(len(names), TOKENS, D_IN, generator=torch.Generator().manual_seed(1)).flatten(0, 1)
    x.requires_grad_()
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        parts = tuple(Segment(name, TOKENS * i, TOKENS * (i + 1)) for i, name in enumerate(names))
        y = segmented(layer, x, parts)
    trained = {(n, f): p for n in names for f, p in layer.adapters[n].trained.items()}
    grads = torch.autograd.grad(y.sin().sum(), [x, *trained.values()])
    return y.detach(), grads[0], dict(zip(trained, grads[1:], strict=True)), sum(kept.values())


@pytest.mark.parametrize("adapter", [lora_fa(RANK), asymmetric_lora(RANK)], ids=["lora_fa", "asymmetric_lora"])
def test_beside_a_frozen_a_only_a_x_is_kept(adapter):
    assert passed(*made(adapter))[-1] == 4 * TOKENS * RANK
    assert passed(*made(lora(RANK)))[-1] == 4 * TOKENS * (D_IN + RANK)
    assert passed(*made(adapter, adapter))[-1] == 8 * TOKENS * RANK
    mixed = passed(*made(adapter, lora(RANK)))[-1]
    assert mixed == 8 * TOKENS * (D_IN + RANK), "one A that trains needs the rows"


@pytest.mark.parametrize("init", ["kaiming", Symmetric()], ids=["kaiming", "frozen start"])
def test_the_bits_do_not_depend_on_what_else_trains(init):
    both = Adapter.from_dict(lora(RANK, init=init).to_dict())
    frozen = Adapter.from_dict({**both.to_dict(), "freezing": Only(("B",))})
    one, other = made(both), made(frozen)
    for name in ("A", "B"):
        other[0].adapters["a0"].factors[name].data.copy_(one[0].adapters["a0"].factors[name])
    (y, dx, grads, _), (y_b, dx_b, grads_b, _) = passed(*one), passed(*other)
    assert grads.keys() > grads_b.keys()
    assert torch.equal(y, y_b)
    assert torch.equal(dx, dx_b)
    assert torch.equal(grads["a0", "B"], grads_b["a0", "B"])
