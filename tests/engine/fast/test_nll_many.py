"""Parts of a joint pass have the bits of passes of their own: losses and gradients."""

import pytest
import torch

from rankwise.adapters import attach
from rankwise.engine import Forward
from rankwise.methods import build
from tests.engine.fast.models import batch, model, moved

pytestmark = pytest.mark.exactness

METHODS = {"a": ("lora", 4), "b": ("olora", 3), "c": ("dora", 8), "d": ("rslora", 16)}
BATCHES = {"a": (40, 31, 30), "b": (64,), "c": (33, 33), "d": (50, 20), None: (25, 18), "tiny": (5,)}


@pytest.fixture(scope="module", params=[("llama", torch.float32), ("llama", torch.bfloat16), ("gpt2", torch.bfloat16),
                                        ("qwen2", torch.float32), ("gemma2", torch.float32)],
                ids=lambda p: f"{p[0]}-{str(p[1])[6:]}")  # fmt: skip
def world(request):
    kind, dtype = request.param
    base = model(kind, dtype)
    forward = Forward(base)
    assert forward.layout == "flat", forward.notes
    handles = {n: moved(attach(base, build(m, rank=r), seed=i, name=n), seed=i)
               for i, (n, (m, r)) in enumerate(METHODS.items())}  # fmt: skip
    return forward, handles


def part(name, of=None):
    return (None if name is None else name, batch(BATCHES[of or name], seed=len(str(of or name))))


def run(forward, handles, parts):
    """Return losses per part and gradients per adapter of one joint pass."""
    losses = forward.nll_many(parts)
    sum(loss.sum() / len(loss) for loss in losses if loss.requires_grad).backward()
    gradients = {}
    for name, handle in handles.items():
        gradients[name] = {k: p.grad for k, p in handle.trainable().items()}
        for p in handle.trainable().values():
            p.grad = None
    return [loss.detach() for loss in losses], gradients


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert (one[key] is None) == (other[key] is None)
        assert one[key] is None or torch.equal(one[key], other[key]), key


@pytest.mark.parametrize("order", ["abcd", "dcba", "ac", "bd"])
def test_any_neighbors_in_any_order_change_no_bit(order, world):
    forward, handles = world
    losses, gradients = run(forward, handles, [part(n) for n in order] + [part(None)])
    assert not any("do not share" in note for note in forward.notes), forward.notes
    for name, loss in zip(order, losses, strict=False):
        (alone,), own = run(forward, handles, [part(name)])
        assert torch.equal(loss, alone)
        same(gradients[name], own[name])
        assert all(g is not None and g.abs().max() > 0 for g in own[name].values())
    (bare,) = forward.nll_many([part(None)])
    assert torch.equal(losses[-1], bare)


def test_a_small_part_and_a_part_twice(world):
    forward, handles = world
    parts = [part("a"), part("b", "tiny"), part("a", "c"), part("d")]
    losses, _ = run(forward, handles, parts)
    for one, loss in zip(parts, losses, strict=True):
        assert torch.equal(forward.nll_many([one])[0], loss)


def test_a_neighbor_of_nan_changes_no_bit(world):
    forward, handles = world
    _, clean = run(forward, handles, [part(n) for n in "abd"])
    spoiled = list(handles["b"].trainable().values())
    kept = [p.detach().clone() for p in spoiled]
    with torch.no_grad():
        for p in spoiled:
            p.fill_(float("nan"))
    losses, gradients = run(forward, handles, [part(n) for n in "abd"])
    with torch.no_grad():
        for p, value in zip(spoiled, kept, strict=True):
            p.copy_(value)
    assert losses[1].isnan().all()
    for name in "ad":
        same(gradients[name], clean[name])


def test_one_alone_equals_the_enabled_one(world):
    forward, handles = world
    for name, handle in handles.items():
        if name != "a":
            handle.disable()
    try:
        assert torch.equal(forward.nll(part("a")[1]), forward.nll_many([part("a")])[0])
    finally:
        for handle in handles.values():
            handle.enable()


def test_padded_passes_give_the_same_parts():
    base = model("llama")
    flat, padded = Forward(base), Forward(base, flat=False)
    handles = {n: moved(attach(base, build("lora", rank=4), seed=i, name=n)) for i, n in enumerate("ab")}
    parts = [part("a"), part("b"), part(None)]
    (ours, g), (stock, h) = (run(f, handles, parts) for f in (flat, padded))
    for one, other in zip(ours, stock, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
    for name in "ab":
        for key, gradient in g[name].items():
            torch.testing.assert_close(gradient, h[name][key], atol=1e-10, rtol=1e-10)
