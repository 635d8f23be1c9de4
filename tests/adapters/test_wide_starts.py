"""Claims of the papers on starts: what is orthonormal, what is zero, what moves, and PEFT's MiCA."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from rankwise.adapters import Adapter, attach
from rankwise.adapters.inits import OrthonormalA, Own, PiSSA, PiSSAFast, Symmetric
from rankwise.adapters.parametrizations import Slices
from rankwise.errors import UsageError
from rankwise.methods import asymmetric_lora, init_b, lora, mica, pissa, placement

from ..contract.models import LLAMA
from ..contract.tools import close, loss, move, run, train

UP = "model.layers.0.mlp.up_proj"
EYE = torch.eye(4, dtype=torch.float64)


@pytest.mark.parametrize("rows", ["random", "top", "bottom"])
def test_asymmetric_lora_keeps_orthonormal_rows(rows):
    model = LLAMA.make()
    handle = attach(model, asymmetric_lora(4, rows=rows))
    A = handle.slots[UP].factors["A"]
    close(A @ A.T, EYE)
    W0 = handle.slots[UP].W0
    if rows != "random":
        S = torch.linalg.svdvals(W0)
        close((W0 @ A.T).norm(dim=0), S[:4] if rows == "top" else S[-4:])
    train(model, LLAMA, handle)
    close(A @ A.T, EYE)
    assert A.grad is None
    assert set(handle.trainable()) == {f"{path}.B" for path in LLAMA.shapes}


def test_init_a_moves_b_first_and_init_b_moves_a_first():
    for adapter, first in ((lora(4), "B"), (init_b(4), "A")):
        model = LLAMA.make()
        handle = attach(model, adapter)
        loss(model, LLAMA).backward()
        assert {name[-1] for name, p in handle.trainable().items() if p.grad.any()} == {first}
    B = attach(LLAMA.make(), init_b(16)).slots[UP].factors["B"].detach()
    assert B.abs().max() <= 0.25
    assert B.var() == pytest.approx(1 / (3 * 16), rel=0.2)


@pytest.mark.parametrize("draw", ["normal", "orthonormal"])
def test_the_symmetric_start_moves_both_and_leaves_the_model(draw):
    model = LLAMA.make()
    before = run(model, LLAMA)
    handle = attach(model, replace(lora(4), init=Symmetric(draw)))
    assert torch.equal(run(model, LLAMA), before)
    loss(model, LLAMA).backward()
    assert all(p.grad.any() for p in handle.trainable().values())
    A, B = handle.slots[UP].factors["A"], handle.slots[UP].factors["B"]
    if draw == "orthonormal":
        close(A @ A.T, EYE)
        close(B.T @ B, EYE)
    else:
        wide = Symmetric().start(torch.zeros(400, 300), 100, 1.0, torch.Generator().manual_seed(0))
        assert wide["A"].std() == pytest.approx(300**-0.5, rel=0.02)
        assert wide["B"].std() == pytest.approx(0.1, rel=0.02)
    with pytest.raises(UsageError, match=r"orthonormal factors needs rank <= .* rank is 9 and .* is 8 x 16"):
        attach(LLAMA.make(), replace(lora(9), init=Symmetric("orthonormal")))


def test_fast_pissa_finds_the_top_singular_triples():
    U, _ = torch.linalg.qr(torch.randn(60, 40, dtype=torch.float64))
    V, _ = torch.linalg.qr(torch.randn(50, 40, dtype=torch.float64))
    W0 = U * (0.7 ** torch.arange(40)) @ V.T
    exact, fast = (init.start(W0, 6, 2.0, torch.Generator().manual_seed(0)) for init in (PiSSA(), PiSSAFast(4)))
    torch.testing.assert_close(fast["B"] @ fast["A"], exact["B"] @ exact["A"], rtol=0, atol=1e-9)
    rough = PiSSAFast(1).start(W0, 6, 2.0, torch.Generator().manual_seed(0))
    assert (rough["B"] @ rough["A"] - exact["B"] @ exact["A"]).norm() < 1e-2
    assert pissa(4).to_dict()["init"] == {"name": "pissa"}, "keys of earlier runs stay"
    assert pissa(4, iterations=16).init == PiSSAFast(16)


def test_mica_is_pefts():
    peft = pytest.importorskip("peft")
    model = LLAMA.make(torch.float32)
    wrapped = peft.get_peft_model(LLAMA.make(torch.float32), peft.LoraConfig(r=4, init_lora_weights="mica"))
    handle = attach(model, mica(4, placement="q_proj,v_proj"))
    for path, slot in handle.slots.items():
        layer = wrapped.base_model.model.get_submodule(path)
        theirs, ours = layer.lora_B["default"].weight, slot.factors["B"]
        torch.testing.assert_close(ours.abs(), theirs.detach().abs(), rtol=1e-3, atol=1e-4)  # signs are free
        assert not layer.lora_B["default"].weight.requires_grad
        assert not slot.factors["A"].any()
        assert list(slot.trained) == ["A"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Symmetric("x"), "draw of init 'symmetric' must be"),
        (lambda: OrthonormalA("x"), "rows of init 'orthonormal-a' must be"),
        (lambda: PiSSAFast(0), "iterations of init 'pissa-fast' must be a whole number of at least 1, found 0"),
        (lambda: replace(mica(4), freezing=asymmetric_lora(4).freezing), "leaves only B to train, but .* A = 0"),
        (lambda: Slices(enabled=(False,)), "enabled of 'slices' must be truth values, one true at least"),
        (lambda: Slices(sizes=(3,)), "sizes of 'slices' must give the rows of all 3"),
        (lambda: placement("layers:a"), "must look like layers:0-5, layers:3 or layers:0-29:3"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


# Layers 2.1: fused layers; 3: ranges


@pytest.mark.parametrize("sizes", [(), (6, 2, 4)])
def test_slices_of_a_fused_layer_that_are_off_keep_the_base(sizes):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(5, 12).double()), torch.randn(7, 5, dtype=torch.float64)
    form = Slices((True, False, True), sizes)
    handle = attach(model, Adapter(rank=2, alpha=4, parametrization=form, init=Own(), placement=placement("regex:0")))
    before = model(x).detach()
    assert (handle.slots["0"].factors["A"].shape, handle.matched[0].trainable) == (
        (4, 5),
        4 * 5 + 2 * (10 if sizes else 8),
    )
    move(handle)
    delta, rows = handle.delta("0"), sizes or (4, 4, 4)
    q, k, v = delta.split(rows)
    assert not k.any()
    f = handle.slots["0"].factors
    close(q, 2 * f["B"][: rows[0]] @ f["A"][:2])
    close(v, 2 * f["B"][rows[0] :] @ f["A"][2:])
    close(model(x).detach(), before + x @ delta.T)
    A, B = handle.slots["0"].plain()
    close(B @ A, delta)


def test_slices_that_do_not_fill_a_layer_are_refused():
    form = Slices((True, False, True), (4, 4, 5))
    adapter = Adapter(rank=2, parametrization=form, init=Own(), placement=placement("regex:0"))
    with pytest.raises(UsageError, match=r"0 has 12 outputs, which the slices .* do not fill"):
        attach(nn.Sequential(nn.Linear(5, 12)), adapter)


def test_layer_ranges():
    def layers(text):
        return {int(path.split(".")[2]) for path in attach(LLAMA.make(), lora(2, placement=text)).layers}

    assert layers("layers:1") == {1}
    assert layers("layers:0-1") == {0, 1}
    assert layers("layers:0-1:2") == {0}
    with pytest.raises(UsageError, match="'layers' 1-4 is not within the model's layers 0-1"):
        layers("layers:1-4")
