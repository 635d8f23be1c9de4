"""What the papers on steps and compressed state claim, each as its own check, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from rankwise.adapters import attach
from rankwise.adapters.inits import Own
from rankwise.adapters.optimizers import AdamW, Flora, GaLore, ProjectedB, Riemannian
from rankwise.adapters.optimizers.compressed import down, up
from rankwise.adapters.optimizers.flora import normalized, random_projector
from rankwise.adapters.optimizers.galore import singular_projector
from rankwise.adapters.parametrizations import WholeMatrix
from rankwise.engine import TrainSpec, train
from rankwise.engine.optim import precondition
from rankwise.errors import UsageError
from rankwise.methods import adalora, flora_gc, galore, lora, lora_fa, riemannian_lora

from ..contract.models import LLAMA
from ..contract.tools import close, loss, move
from .runs import begin, spec


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# LoRA-FA 2.6


def test_lora_fa_projects_the_full_gradient_on_the_rows_of_a():
    A, B, G, s = random(3, 7), random(5, 3, seed=1), random(5, 7, seed=2), 2.5
    found = ProjectedB().precondition({"A": A, "B": B}, {"B": s * G @ A.T}, s)["B"]
    P = A.T @ torch.linalg.inv(A @ A.T) @ A
    torch.testing.assert_close(s * found @ A, G @ P, rtol=1e-7, atol=1e-7)


def test_lora_fa_steps_as_pefts_optimizer():
    """The same factors and gradients, five steps; with a small eps, which PEFT adds before its bias correction."""
    from peft.optimizers.lorafa import LoraFAOptimizer

    A, B = random(3, 7), nn.Parameter(random(5, 3, seed=1))
    mine = nn.Parameter(B.detach().clone())
    frozen = nn.Parameter(A.clone(), requires_grad=False)
    names = ["layer.lora_A.weight", "layer.lora_B.weight"]
    group = {"params": [frozen, B], "names": names, "scaling_factors": [2.0, 2.0]}
    peer = LoraFAOptimizer([group], lr=1e-2, eps=1e-14)
    ours = torch.optim.AdamW([mine], lr=1e-2, eps=1e-14, weight_decay=0.0)
    for step in range(5):
        B.grad = random(5, 3, seed=10 + step)
        mine.grad = ProjectedB().precondition({"A": A, "B": mine.detach()}, {"B": B.grad.clone()}, 2.0)["B"]
        peer.step()
        ours.step()
        torch.testing.assert_close(mine.detach(), B.detach(), rtol=1e-7, atol=1e-9)


def test_lora_fa_corrected_moves_otherwise_and_a_stays(tiny_base, tiny_splits):
    plain = TrainSpec(lora_fa(4), lr=1e-2, steps=3, batch=4)
    a, b = (train(tiny_base, s, tiny_splits) for s in (plain, replace(plain, target=lora_fa(4, corrected=True))))
    assert a.losses[0] == b.losses[0]
    assert a.losses[2] != b.losses[2]


# Riemannian preconditioning 15


def test_a_riemannian_step_does_not_depend_on_how_the_product_is_split():
    """One small gradient step of B A, from (B, A) and from (B M, M^-1 A): the same change of B A to first order."""
    A, B, G, M = random(3, 7), random(5, 3, seed=1), random(5, 7, seed=2), random(3, 3, seed=3)
    rule = Riemannian(1e-14)

    def change(A, B):
        g = rule.precondition({"A": A, "B": B}, {"A": B.T @ G, "B": G @ A.T}, 1.0)
        return g["B"] @ A + B @ g["A"]

    one, two = change(A, B), change(torch.linalg.solve(M, A), B @ M)
    torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-7)
    plain = [G @ a.T @ a + b @ b.T @ G for a, b in ((A, B), (torch.linalg.solve(M, A), B @ M))]
    assert not torch.allclose(*plain, rtol=1e-2), "a plain gradient step does depend on it"


def test_the_engine_hands_the_step_preconditioned_gradients():
    model = LLAMA.make()
    handle = attach(model, riemannian_lora(4, alpha=8, delta=1e-3))
    move(handle)
    loss(model, LLAMA).backward()
    slot = next(iter(handle.slots.values()))
    A, B = slot.factors["A"].detach(), slot.factors["B"].detach()
    gA, gB = slot.factors["A"].grad.clone(), slot.factors["B"].grad.clone()
    precondition(handle)
    one = 1e-3 * torch.eye(4, dtype=torch.float64)
    close(slot.factors["A"].grad, torch.linalg.inv(B.T @ B + one) @ gA)
    close(slot.factors["B"].grad, gB @ torch.linalg.inv(A @ A.T + one))


# Flora and GaLore 9.5


def test_a_square_orthogonal_projection_loses_nothing():
    for m, n in ((4, 9), (9, 4)):
        G = random(m, n)
        P = torch.linalg.qr(random(4, 4, seed=5)).Q
        close(up(down(G, P), P, G.shape), G)
    assert down(G, None) is G


def test_floras_random_projection_is_an_identity_on_average():
    mean = sum(P.T @ P for P in (random_projector(4, 6, s, random(1)) for s in range(4000))) / 4000
    torch.testing.assert_close(mean, torch.eye(6, dtype=torch.float64), rtol=0, atol=0.06)  # standard error .016


def test_galore_projects_on_the_first_singular_vectors():
    for shape in ((5, 9), (9, 5)):
        G = random(*shape)
        P = singular_projector(G, 2)
        close(P @ P.T, torch.eye(2, dtype=torch.float64))
        U, S, Vh = torch.linalg.svd(G, full_matrices=False)
        close(up(down(G, P), P, G.shape), U[:, :2] * S[:2] @ Vh[:2])


def test_galore_of_full_rank_is_adam_in_another_basis():
    """Rank not below the smaller side: no projection, torch's Adam to rounding."""
    ours, theirs = (nn.Parameter(random(4, 6)) for _ in range(2))
    rule, peer = (
        GaLore(rank=4).make([{"params": [ours]}], 1e-2, (0.9, 0.99), 1e-8),
        torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99)),
    )
    for step in range(4):
        ours.grad = random(4, 6, seed=step)
        theirs.grad = ours.grad.clone()
        rule.step()
        peer.step()
        close(ours.detach(), theirs.detach())


@pytest.mark.parametrize(("every", "low"), [(100, True), (2, False)])
def test_floras_update_has_low_rank_only_while_its_projection_is_fixed(every, low):
    p = nn.Parameter(torch.zeros(8, 12, dtype=torch.float64))
    rule = Flora(rank=2, every=every).make([{"params": [p]}], 1e-2, (0.9, 0.999), 1e-8)
    for step in range(10):
        p.grad = random(8, 12, seed=step)
        rule.step()
    assert (int(torch.linalg.matrix_rank(p.detach())) == 2) == low
    assert rule.state[p]["exp_avg"].shape == (2, 12), "the state is small"


@pytest.mark.parametrize("make", [galore, flora_gc])
def test_by_default_every_matrix_is_compressed_and_renewed_in_the_shortest_scale(make, tiny_base, tiny_splits):
    """Smoke's twelve steps on the tiny model: three renewals, each told; the state is as small as it claims."""
    one = TrainSpec(make(), lr=1e-3, steps=12, batch=4)
    result = train(tiny_base, one, tiny_splits)
    assert [e["step"] for e in result.events] == [4, 7, 10]
    assert {e["renewed"] for e in result.events} == {14}
    assert all(0 < e["subspace_kept"] < 1 for e in result.events)
    assert one.target.optimizer.state((64, 128)) < 16 * (2 * 128 + 64) + 1
    assert [one.target.optimizer.cadence(n) for n in (2, 60)] == [1, 15]
    assert one.target.optimizer.cadence(10**6) == one.target.optimizer.cadence(None) == make().optimizer.every
    assert make(every=5).optimizer.cadence(12) == 5, "what was asked for"


def test_floras_momentum_is_carried_into_a_new_projection():
    p = nn.Parameter(torch.zeros(8, 12, dtype=torch.float64))
    rule = Flora(rank=3, every=2).make([{"params": [p]}], 1e-2, (0.9, 0.999), 1e-8)
    for step in range(2):
        p.grad = random(8, 12, seed=step)
        rule.step()
    old, before = rule.projector(p, 0), rule.state[p]["exp_avg"].clone()
    p.grad = torch.zeros(8, 12, dtype=torch.float64)
    rule.step()
    close(rule.state[p]["exp_avg"], 0.9 * rule.projector(p, 1) @ old.T @ before)


def test_floras_normalization_is_adafactors():
    """The first step, where the factored second moment is that of this gradient: rank-1 matrices come out as signs."""
    a, b = random(5).abs() + 0.1, random(7, seed=1).abs() + 0.1
    G = torch.outer(a, b)
    G[1] *= -1
    close(normalized(G, {"step": torch.tensor(1.0)}, 0.999, 1e-30), G.sign())


def test_state_is_small_and_saved(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("galore", rank=4, every=2))
    try:
        r.train_step()
        for name, p in r.trainee.parameters.items():
            state = r.optimizer.state[p]
            assert name.endswith(".D")
            assert min(state["exp_avg"].shape) == 4
            assert state["P"].shape == (4, min(p.shape))
    finally:
        r.close()


def test_dense_is_exact_beside_an_identity():
    model = LLAMA.make()
    handle = attach(model, galore())
    move(handle)
    for path, slot in handle.slots.items():
        A, B = slot.plain()
        assert A.shape[0] == min(slot.factors["D"].shape)
        close(B @ A, handle.delta(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(lora(), optimizer=ProjectedB()), "beside a frozen A"),
        (lambda: replace(lora_fa(), optimizer=Riemannian()), "needs factors A and B that both train"),
        (lambda: Riemannian(0), "delta must be a positive number"),
        (lambda: galore(rank=0), "rank of optimizer 'galore' must be a whole number"),
        (lambda: galore(scale=0), "scale of optimizer 'galore' must be a positive number"),
        (lambda: GaLore(most=0), r"most of optimizer 'galore' must be a number in \(0, 1\], found 0"),
        (lambda: Flora(renewals=-1), "renewals of optimizer 'flora' must be a whole number of at least 0"),
        (lambda: flora_gc(every=0), "every of optimizer 'flora' must be a whole number"),
    ],
)
def test_illegal_choices_are_one_sentence(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_other_updates_take_compressed_state_too(tiny_base, tiny_splits):
    """The axis is one of the optimizer: LoRA's factors and AdaLoRA's diagonal step by it as well."""
    for target in (lora(8), adalora(8)):
        one = TrainSpec(replace(target, optimizer=GaLore(rank=2, every=2)), lr=1e-2, steps=3, batch=4)
        assert train(tiny_base, one, tiny_splits).status == "done"
    assert replace(lora(), parametrization=WholeMatrix(), init=Own(), rank=1, alpha=1).optimizer == AdamW()
