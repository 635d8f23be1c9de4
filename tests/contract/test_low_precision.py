"""bfloat16: identity at the start, the update's error bound for every row, and what a frozen start is for
(docs/design/methods.md#the-frozen-start).

Tolerances by counting roundings. One rounding to bfloat16 has relative error u = 2^-8; products are summed in
float32, whose error is negligible here. An update s B A x rounds A, B, A x, B (A x) and s * (...): 5 u of
s |B| |A| |x|. With a frozen start the two terms are rounded so too, and their sum once more: 6 u of
s (|B - B0| |A| + |B0| |A - A0|) |x|. The naive form has |B| |A| + |B0| |A0| there, which does not shrink with the
update. DoRA multiplies them by g and adds (g - 1) W0 x: 9 u of |g - 1| |W0| |x| and of g times the above, where g
itself is computed in float32 from a norm of d_in (d_out) squares. A merged layer rounds W and its output: 2 u of
|W| |x|. One per cent on top for the terms in u^2.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters.peft_format import peft_tensors
from rankwise.methods import olora, pissa

from .models import LLAMA
from .table import ROWS
from .tools import attach, move, run

U = 1.01 * 2.0**-8
WIDTH = 256


def _layer(width: int = 64) -> tuple[nn.Sequential, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(width, width, generator=stream) / width**0.5)
    return model.bfloat16().eval(), torch.randn(32, width, generator=stream).bfloat16()


@pytest.mark.parametrize("row", [r for r in ROWS if r.identity == "exact"], ids=lambda r: r.name)
def test_bfloat16_model_is_bitwise_unchanged_at_the_start(row):
    model = LLAMA.make(torch.bfloat16)
    before = run(model, LLAMA)
    attach(model, row.adapter)
    assert torch.equal(run(model, LLAMA), before)


@pytest.mark.parametrize("row", [r for r in ROWS if r.low_rank], ids=lambda r: r.name)
@pytest.mark.parametrize("size", [0.0, 1e-3, 1e-1])
def test_bfloat16_update_is_within_the_rounding_bound(row, size):
    model, x = _layer()
    W0 = model[0].weight.detach().double()
    handle = attach(model, row.adapter)
    move(handle, size=size)
    slot = handle.slots["0"]
    with torch.no_grad():
        update = slot(x).double()
    A, B = slot.factors["A"].detach().double(), slot.factors["B"].detach().double()
    if row.edits_base:
        A0, B0 = slot.start["A"].double(), slot.start["B"].double()
        delta = row.scale * (B @ A - B0 @ A0)
        terms = row.scale * ((B - B0).abs() @ A.abs() + B0.abs() @ (A - A0).abs())
    else:
        delta = row.scale * B @ A
        terms = row.scale * B.abs() @ A.abs()
    # The dense form is float32: one rounding for each of rank products and sums, and two for s and the differences.
    wide = (2 * row.rank + 2) * 2.0**-24 * terms
    roundings = 6
    if row.magnitude:
        dim = 1 if row.magnitude == "out" else 0
        g = (slot.factors["m"].detach().double() / (W0 + delta).norm(dim=dim)).unsqueeze(dim)
        # m and the norm are float32 too: on either side a sum over the 64 squares of V's entries, and V's own error.
        wide = 2 * (len(W0) + 2 * row.rank + 2) * 2.0**-24 * g.abs() * (W0.abs() + terms)
        delta, terms = (g - 1) * W0 + g * delta, (g - 1).abs() * W0.abs() + g.abs() * terms
        roundings = 9
    assert ((handle.delta("0").double() - delta).abs() <= wide).all()
    exact = x.double() @ delta.T
    bound = x.double().abs() @ (roundings * U * terms + (wide if row.magnitude else 0)).T
    if size == 0:  # at the start: nothing for a frozen start, and only rounding for an orthogonal one
        assert torch.equal(update, torch.zeros_like(update)) or row.identity == "rounding"
    assert ((update - exact).abs() <= bound).all()


@pytest.mark.parametrize("row", [r for r in ROWS if not r.low_rank], ids=lambda r: r.name)
def test_bfloat16_update_of_other_shapes_is_within_a_per_cent(row):
    """Five factors at most, each rounded once: 5 u = 2 % at worst, far less in the norm of many entries."""
    model, x = _layer()
    handle = attach(model, row.adapter)
    move(handle)
    with torch.no_grad():
        update = handle.slots["0"](x).double()
    bias = handle.slots["0"].delta_bias()
    exact = x.double() @ handle.delta("0").double().T + (0 if bias is None else bias.double())
    assert exact.norm() > 0
    assert (update - exact).norm() <= 0.01 * exact.norm()


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind != "overlay"], ids=lambda r: r.name)
def test_bfloat16_merge_rounds_once(row):
    model, x = _layer()
    W0 = model[0].weight.detach().double()
    handle = attach(model, row.adapter)
    move(handle)
    exact = W0 + handle.delta("0").double()
    handle.merge()
    W = model[0].weight.detach()
    assert W.dtype == torch.bfloat16
    assert ((W.double() - exact).abs() <= U * exact.abs()).all()
    with torch.no_grad():
        y = model(x).double()
    assert ((y - x.double() @ exact.T).abs() <= 2 * U * (x.double().abs() @ exact.abs().T)).all()


@pytest.mark.parametrize("adapter", [olora(16), pissa(16)], ids=["olora", "pissa"])
def test_a_small_update_survives_bfloat16_where_the_naive_form_drowns(adapter):
    """Rule 1, an update of 0.5 % of W: s (B A) x - s (B0 A0) x loses it, and so does a file of [A; A0], [B, -B0]."""
    model, x = _layer(WIDTH)
    W0 = model[0].weight.detach().double()
    handle = attach(model, adapter)
    slot = handle.slots["0"]
    move(handle)
    with torch.no_grad():  # scale the move so that |delta| is 0.5 % of |W0|; it is nearly linear in the move
        for _ in range(3):
            shrink = 0.005 * W0.norm() / handle.delta("0").double().norm()
            for name, p in slot.factors.items():
                p.copy_(slot.start[name] + shrink * (p - slot.start[name]))
    delta = handle.delta("0").double()
    assert delta.norm() / W0.norm() == pytest.approx(0.005, rel=0.01)
    exact = x.double() @ delta.T

    def error(y):
        return ((y.double() - exact).norm() / exact.norm()).item()

    A, B, A0, B0 = (t.detach().bfloat16() for t in (*slot.factors.values(), *slot.start.values()))
    with torch.no_grad():
        ours = error(slot(x))
        naive = error(x @ A.T @ B.T - x @ A0.T @ B0.T)
        peft = error(x @ torch.cat([A, A0]).T @ torch.cat([B, -B0], dim=1).T)
        file_A, file_B = (t.bfloat16() for t in peft_tensors(handle).values())
        on_disk = error(x @ file_A.T @ file_B.T)
    assert ours < 0.005
    assert on_disk < 0.005
    assert naive > 0.1
    assert peft > 0.1
    assert naive > 30 * ours


def test_starts_of_base_editing_inits_are_computed_in_float32():
    """QR and SVD of a bf16 weight run on its float32 copy, so B0 is orthonormal to float32, not to bf16."""
    model, _ = _layer()
    B0 = attach(model, olora(8)).slots["0"].start["B"]
    torch.testing.assert_close(B0.T @ B0, torch.eye(8), rtol=0, atol=1e-5)
