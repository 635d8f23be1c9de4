"""What the DoRA paper (arXiv 2402.09353) says of magnitude, direction and the detached norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters import attach, load, save
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.errors import UsageError
from rankwise.methods import dora, lora

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import as_stored, close, move, run

AXES = pytest.mark.parametrize(("axis", "dim"), [("out", 1), ("in", 0)], ids=["out", "in"])
tinies = pytest.mark.parametrize("tiny", [LLAMA, GPT2, SEQUENTIAL], ids=["llama", "gpt2", "sequential"])


@tinies
@AXES
def test_magnitude_starts_at_the_norm_of_w0_and_is_the_norm_of_the_merged_weight(axis, dim, tiny):
    model = tiny.make()
    W0 = {path: as_stored(m, m.weight.detach()) for path in tiny.shapes if (m := model.get_submodule(path))}
    handle = attach(model, dora(4, axis=axis))
    for path, slot in handle.slots.items():
        close(slot.factors["m"].detach(), W0[path].norm(dim=dim))
    move(handle, size=0.5)
    handle.merge()
    for path, slot in handle.slots.items():
        module, m = model.get_submodule(path), slot.factors["m"].detach()
        W = module.weight.detach() if isinstance(module, nn.Linear) else module.weight.detach().T
        close(W.norm(dim=dim), m.abs())
        V = W0[path] + slot.scaling * slot.factors["B"].detach() @ slot.factors["A"].detach()
        cosine = (W * V).sum(dim) / W.norm(dim=dim) / V.norm(dim=dim)
        close(cosine, m.sign())  # the direction is V's


def _layer(axis="out", **options):
    stream = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(5, 7, generator=stream))
        model[0].bias.copy_(10 * torch.randn(5, generator=stream))
    x = torch.randn(11, 7, generator=stream, dtype=torch.float64)
    G = torch.randn(11, 5, generator=stream, dtype=torch.float64)  # dL/dy
    W0 = model[0].weight.detach().clone()
    handle = attach(model, dora(2, alpha=3, axis=axis, **options))
    move(handle, size=0.5)
    slot = handle.slots["0"]
    A, B, m = (slot.factors[name].detach() for name in ("A", "B", "m"))
    return model, handle, x, G, W0, A, B, m


def test_gradients_in_closed_form():
    """dL/dm_i = sum over the batch of G_i (V x)_i / |V_i|; dL/dV = (m / |V|) G x^T, with nothing through |V|."""
    model, handle, x, G, W0, A, B, m = _layer()
    model(x).backward(G)
    V = W0 + 1.5 * B @ A
    norm = V.norm(dim=1)
    by_V = (m / norm)[:, None] * (G.T @ x)
    factors = handle.slots["0"].factors
    close(factors["m"].grad, (G * (x @ V.T) / norm).sum(0))
    close(factors["B"].grad, 1.5 * by_V @ A.T)
    close(factors["A"].grad, 1.5 * B.T @ by_V)


def test_the_norm_gets_no_gradient():
    """With it the gradient of V would be orthogonal to V, row by row (equation 6); section 4.3 leaves that out."""
    model, handle, x, G, W0, A, B, m = _layer()
    A_, B_ = A.clone().requires_grad_(), B.clone().requires_grad_()
    V = W0 + 1.5 * B_ @ A_
    through = (m / V.norm(dim=1))[:, None] * V
    (x @ through.T).backward(G)
    model(x).backward(G)
    assert (handle.slots["0"].factors["B"].grad - B_.grad).abs().max() > 0.1


@AXES
def test_the_bias_is_not_scaled(axis, dim):
    model, _, x, _, W0, A, B, m = _layer(axis)
    V = W0 + 1.5 * B @ A
    W = m.unsqueeze(dim) * V / V.norm(dim=dim, keepdim=True)
    close(model(x).detach(), x @ W.T + model[0].bias)
    close(model(torch.zeros_like(x)).detach(), model[0].bias.expand(11, 5))


@AXES
def test_under_dropout_both_terms_see_the_dropped_input(axis, dim):
    """Both terms see the dropped input: y = W0 x + bias + (W - W0) drop(x), and nothing at all at the start."""
    model, handle, x, _, W0, A, B, m = _layer(axis, dropout=0.4)
    model.train()
    state = handle.generator.get_state()
    y = model(x).detach()
    handle.generator.set_state(state)
    dropped = x * (torch.rand(x.shape, generator=handle.generator) >= 0.4) / 0.6
    V = W0 + 1.5 * B @ A
    W = m.unsqueeze(dim) * V / V.norm(dim=dim, keepdim=True)
    close(y, x @ W0.T + model[0].bias + dropped @ (W - W0).T)

    fresh = SEQUENTIAL.make()
    before = run(fresh, SEQUENTIAL)
    attach(fresh.train(), dora(2, dropout=0.4, axis=axis))
    assert torch.equal(run(fresh, SEQUENTIAL), before)


def test_the_base_product_is_not_computed_twice_without_dropout(monkeypatch):
    model, _, x, *_ = _layer()
    seen = []
    linear = nn.functional.linear
    monkeypatch.setattr(
        "rankwise.adapters.parametrizations.base.linear", lambda *a: seen.append(a[1].shape) or linear(*a)
    )
    model(x)
    assert seen == [(2, 7)], "A x only"
    other = attach(model, lora(2), name="other")
    move(other)
    apart = model(x).detach()
    other.merge()  # now the layer's output is no longer W0 x
    close(model(x).detach(), apart)
    assert seen.count((5, 7)) == 1


@AXES
def test_a_zero_row_or_column_stays_finite(axis, dim):
    """A pruned output, or an input never used, has no direction: 0/0 in the formula."""
    model = SEQUENTIAL.make()
    with torch.no_grad():
        model[0].weight[3] = 0.0
        model[0].weight[:, 2] = 0.0
    before = run(model, SEQUENTIAL)
    handle = attach(model, dora(3, axis=axis))
    assert torch.equal(run(model, SEQUENTIAL), before)
    model(SEQUENTIAL.inputs).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in handle.trainable().values())
    handle.merge()
    assert torch.equal(run(model, SEQUENTIAL), before)


def test_the_direction_is_not_disturbed_by_an_adapter_beside_it():
    """Its V holds W0 and its own B A: a neighbor's training must not change it (PEFT's stack depends on the order)."""
    model = LLAMA.make()
    first = attach(model, lora(2), name="first")
    second = attach(model, dora(3), name="second")
    move(second)
    before = {path: second.delta(path) for path in LLAMA.shapes}
    move(first)
    first.merge()
    assert all(torch.equal(second.delta(path), delta) for path, delta in before.items())


def test_the_dense_update_is_exactly_zero_at_the_start():
    """No cancellation: with g = 1 and B = 0 the dense update is exactly zero, not a difference of large numbers."""
    handle = attach(LLAMA.make(torch.float32), dora(4))
    assert not any(handle.delta(path).any() for path in LLAMA.shapes)


def test_a_checkpoint_without_magnitudes_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    handle = attach(LLAMA.make(), dora(4))
    file = save(handle, tmp_path) / "adapter_model.safetensors"
    tensors = load_file(file)
    names = [name for name in tensors if name.endswith("lora_magnitude_vector")]
    assert len(names) == len(LLAMA.shapes)
    del tensors[names[0]]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lacks 1 tensors of this model: .*lora_magnitude_vector"):
        load(LLAMA.make(), tmp_path)


def test_the_axis_is_checked():
    with pytest.raises(UsageError, match=r"axis of 'weight-decomposed' must be 'out' .* or 'in', found 1"):
        WeightDecomposed(1)
