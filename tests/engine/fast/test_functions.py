"""Every autograd function of our own against torch's, in float64."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention

from rankwise.adapters import attach
from rankwise.adapters.fused import Segment, held_factors, is_plain, segmented
from rankwise.engine.fast import attention, head
from rankwise.engine.fast.layout import lay_out
from rankwise.methods import build
from tests.engine.fast.models import batch

pytestmark = pytest.mark.exactness


def rand(*shape, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=stream, dtype=torch.float64)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("keep", [512, 4])
def test_attention(window, keep, monkeypatch):
    monkeypatch.setattr(attention, "KEPT", keep)  # 4: the probabilities of longer sequences are computed again
    layout = lay_out([batch((7, 6, 6)), batch((3,))])
    q, k, v = (rand(22, heads, 5, seed=heads).requires_grad_() for heads in (4, 2, 3))
    v = rand(22, 2, 5, seed=9).requires_grad_()

    def ours(q, k, v):
        return attention.attend(q, k, v, layout, 0.3, window, None)

    assert torch.autograd.gradcheck(ours, (q, k, v), fast_mode=True)
    out, start = ours(q, k, v), 0
    for n in (7, 6, 6, 3):
        one = (x[start : start + n].transpose(0, 1)[None] for x in (q, k, v))
        at = torch.arange(n)
        seen = (at[None] <= at[:, None]) & (at[None] > at[:, None] - (window or n))
        stock = scaled_dot_product_attention(*one, attn_mask=seen, scale=0.3, enable_gqa=True)[0].transpose(0, 1)
        torch.testing.assert_close(out[start : start + n], stock, atol=1e-12, rtol=0)
        start += n
    plain = attention._plain(q, k, v, layout, 0.3, window, None)
    torch.testing.assert_close(out, plain, atol=1e-12, rtol=0)


@pytest.mark.parametrize("trains", [False, True], ids=["frozen", "trained"])
def test_head(trains, monkeypatch):
    monkeypatch.setattr(head, "_ELEMENTS", 64 * 11)
    h, W, bias = rand(150, 5).requires_grad_(), rand(11, 5, seed=1).requires_grad_(trains), rand(11, seed=2)
    ids = torch.arange(150) % 11

    def ours(h, W):
        return head.target_nll(h, W, bias, ids, (149, 1), None)

    def stock(h, W):
        return cross_entropy(linear(h, W, bias), ids, reduction="none")

    weights = rand(150, seed=4)
    torch.testing.assert_close(ours(h, W), stock(h, W), atol=1e-12, rtol=0)
    of = (h, W) if trains else (h,)
    for mine, theirs in zip(*(torch.autograd.grad((f(h, W) * weights).sum(), of) for f in (ours, stock)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(ours, (h, W), fast_mode=True)


def test_the_head_survives_a_probability_that_underflows():
    h, W = torch.tensor([[1.0]]), torch.tensor([[0.0], [300.0]])
    assert float(head.target_nll(h, W, None, torch.tensor([0]), (1,), None)) == 300.0


def test_chunks_of_a_part_do_not_depend_on_its_neighbors():
    alone = [s.stop - s.start for s in head._cut((300,), 128, 16)]
    assert alone == [100, 100, 100]
    beside = [s.stop - s.start for s in head._cut((50, 70, 9, 20, 300, 3), 128, 16)]
    assert beside == [120, 9, 120, 100, 100, 3]


@pytest.mark.parametrize("method", ["lora", "olora", "lora_fa"])
@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_the_adapted_linear(kind, method):
    from transformers.pytorch_utils import Conv1D

    layer = torch.nn.Linear(6, 7).double() if kind == "linear" else Conv1D(7, 6).double()
    net = torch.nn.Sequential(layer)
    handles = {name: attach(net, build(method, rank=3), seed=i, name=name) for i, name in enumerate("ab")}
    factors = [p for handle in handles.values() for p in handle.trainable().values()]
    with torch.no_grad():
        for i, p in enumerate(factors):
            p.add_(rand(*p.shape, seed=i))
    x = rand(1, 9, 6).requires_grad_()
    adapted = net[0]

    def ours(x, *_):
        return segmented(adapted, x, (Segment("a", 0, 4), Segment("b", 6, 9)))

    assert torch.autograd.gradcheck(ours, (x, *factors), fast_mode=True)
    a, b = (adapted.adapters[n] for n in "ab")
    assert is_plain(a), "the function is what is tested"
    assert len(factors) == (2 if method == "lora_fa" else 4)
    base = adapted.untouched(x)
    parts = [base[:, :4] + a(x[:, :4]), base[:, 4:6], base[:, 6:] + b(x[:, 6:])]
    stock = torch.cat(parts, 1)
    torch.testing.assert_close(ours(x), stock, atol=1e-12, rtol=0)
    g = rand(1, 9, 7, seed=5)
    mine, theirs = (torch.autograd.grad((y * g).sum(), (x, *factors)) for y in (ours(x), stock))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_a_changed_factor_is_never_read_from_before():
    net = torch.nn.Sequential(torch.nn.Linear(6, 7))
    handle = attach(net, build("lora", rank=3))
    x, segments = torch.ones(2, 6), (Segment("default", 0, None),)
    optimizer = torch.optim.AdamW(handle.trainable().values(), lr=0.1, fused=True)
    for _ in range(3):
        segmented(net[0], x, segments).square().sum().backward()
        with held_factors():
            before = segmented(net[0], x, segments)
        optimizer.step()
        with held_factors():
            after = segmented(net[0], x, segments)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, net(x))
