"""Deep LoRA (arXiv 2406.04112): more factors than two, small and orthogonal at the start."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rankwise.adapters import attach, load, save
from rankwise.adapters.parametrizations import Deep
from rankwise.adapters.scalings import Constant
from rankwise.errors import UsageError
from rankwise.methods import deep_lora, lora

from ..contract.models import LLAMA
from ..contract.tools import batches, close, move, run

EPS = 1e-3


def test_depth_two_is_lora():
    assert deep_lora(4, depth=2) == replace(lora(4, 1.0), scaling=Constant())


def test_cores_of_the_identity_are_lora():
    deep, plain = LLAMA.make(), LLAMA.make()
    one, two = attach(deep, deep_lora(3, 2.0, depth=5)), attach(plain, deep_lora(3, 2.0, depth=2))
    move(two)
    with torch.no_grad():
        for path, slot in one.slots.items():
            for name, factor in slot.factors.items():
                factor.copy_(two.slots[path].factors[name] if name in "AB" else torch.eye(3))
    close(run(deep, LLAMA), run(plain, LLAMA))


def test_every_factor_starts_orthogonal_and_small():
    handle = attach(LLAMA.make(), deep_lora(4, depth=4))
    for slot in handle.slots.values():
        f = slot.factors
        assert set(f) == {"A", "B", "C1", "C2"}
        for Q in (f["A"] @ f["A"].T, f["B"].T @ f["B"], f["C1"] @ f["C1"].T, f["C2"] @ f["C2"].T):
            torch.testing.assert_close(Q, EPS**2 * torch.eye(4, dtype=Q.dtype), rtol=0, atol=1e-18)
        assert torch.linalg.matrix_norm(slot.delta(), 2) == pytest.approx(EPS**4)


def test_compressed_frames_are_the_gradients_and_only_its_cores_train():
    model = LLAMA.make()
    data = batches(model)
    G: dict[str, torch.Tensor] = {}
    for batch in data:
        model.zero_grad()
        for p in model.parameters():
            p.requires_grad_(True)
        model(**batch).loss.backward()
        for path, module in model.named_modules():
            if path in LLAMA.shapes:
                G[path] = G.get(path, 0) + module.weight.grad.detach().clone()
    handle = attach(LLAMA.make(), deep_lora(3, compressed=True), data=data)
    assert {name.rpartition(".")[2] for name in handle.trainable()} == {"C1", "C2", "C3"}
    for path, slot in handle.slots.items():
        A, B = slot.factors["A"], slot.factors["B"]
        U, S, Vh = torch.linalg.svd(G[path].to(A.dtype), full_matrices=False)
        close(A.T @ A, Vh[:3].T @ Vh[:3])
        close(B @ B.T, U[:, :3] @ U[:, :3].T)
        close((B.T @ G[path].to(A.dtype) @ A.T).diagonal().abs(), S[:3])
        move(handle)
        assert torch.linalg.matrix_rank(slot.delta()) == 3


def test_the_compressed_form_starts_near_the_base_saves_loads_and_merges(tmp_path):
    model, fresh = LLAMA.make(), LLAMA.make()
    before = run(model, LLAMA)
    handle = attach(model, deep_lora(3, 2.0, compressed=True), data=batches(model))
    assert 0 < (run(model, LLAMA) - before).abs().max() < 1e-6
    move(handle)
    for slot in handle.slots.values():
        f = slot.factors
        close(slot.delta(), 2 * torch.linalg.multi_dot([f["B"], f["C3"], f["C2"], f["C1"], f["A"]]))
    adapted = run(model, LLAMA)
    loaded = load(fresh, save(handle, tmp_path))
    assert loaded.adapter == handle.adapter
    assert torch.equal(run(fresh, LLAMA), adapted)
    handle.merge()
    close(run(model, LLAMA), adapted)


def fitted(compressed, steps=800):
    """Gradient descent on |W - T|^2 / 2 with a deep product in place of W; T has rank 2."""
    stream = torch.Generator().manual_seed(0)
    T = torch.linalg.multi_dot([torch.randn(s, generator=stream, dtype=torch.float64) for s in ((12, 2), (2, 12))])
    T = T / torch.linalg.matrix_norm(T, 2)
    width, cores = (4, 3) if compressed else (12, 1)
    shape = Deep(cores=cores, scale=0.1)
    Q = [torch.linalg.qr(torch.randn(12, 12, generator=stream, dtype=torch.float64))[0] for _ in range(2)]
    U, _, Vh = torch.linalg.svd(T)
    ends = (Vh[:width], U[:, :width]) if compressed else (0.1 * Q[0], 0.1 * Q[1])
    C = {name: 0.1 * torch.eye(width, dtype=torch.float64) for name in shape.names}
    factors = {"A": ends[0].clone(), "B": ends[1].clone(), **C}
    moving = [factors[name].requires_grad_() for name in (shape.names if compressed else factors)]
    errors = []
    for _ in range(steps):
        error = (shape.delta(factors, {}) - T).square().sum() / 2
        for p, g in zip(moving, torch.autograd.grad(error, moving), strict=True):
            p.data -= 0.2 * g
        errors.append(float(error.detach()))
    return errors, torch.linalg.svdvals(shape.delta(factors, {}).detach())


def test_both_forms_fit_a_matrix_of_low_rank_and_stay_of_low_rank():
    """The claim: the compressed product does what the wide one does, and neither uses ranks that it does not need."""
    for compressed in (False, True):
        errors, values = fitted(compressed)
        assert errors[-1] < 1e-5 < errors[0]  # what never grew is left: at most ten values of 1e-3
        assert values[2] < 2e-3, "beyond the target's rank nothing grew"


def test_what_cannot_be_is_refused():
    for options, said in (
        ({"depth": 1}, "depth must be a whole number of at least 2, found 1"),
        ({"depth": True}, "at least 2, found True"),
        ({"depth": 2, "compressed": True}, "depth of a compressed deep_lora must be a whole number of at least 3"),
    ):
        with pytest.raises(UsageError, match=said):
            deep_lora(**options)
    for wrong, said in (({"cores": 0}, "at least 1"), ({"scale": 0}, "positive")):
        with pytest.raises(UsageError, match=said):
            Deep(**wrong)
