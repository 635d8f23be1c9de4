"""Changes of coordinates, in float64: what folding keeps, what orthogonalizes, and what normalizing rows does not."""

import pytest
import torch

from rankwise.adapters.events.orthogonal_forms import FORMS, coherence, product_norm, unit_columns

FOLDED = ["row_norm_fold", "qr_fold", "polar_fold", "ema_fold"]


def pair(rank=6, modules=3, seed=0, d_in=20, d_out=12):
    stream = torch.Generator().manual_seed(seed)
    A = torch.randn(modules, rank, d_in, generator=stream, dtype=torch.float64)
    A = A + 0.8 * A[:, :1]  # rows that lean the same way
    return A, 0.01 * torch.randn(modules, d_out, rank, generator=stream, dtype=torch.float64)


@pytest.mark.parametrize("kind", FOLDED)
def test_folding_keeps_the_function(kind):
    A, B = pair()
    form = FORMS[kind](A, 0.3)
    torch.testing.assert_close((B @ form.inverse) @ form.A, B @ A, atol=1e-10, rtol=0)
    torch.testing.assert_close(form.M @ A, form.A, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(form.M @ form.inverse, torch.eye(6).double().expand(3, 6, 6), atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", ["qr", "qr_fold", "polar_fold"])
def test_rows_are_orthogonal_afterwards(kind):
    A, _ = pair()
    most, mean = coherence(FORMS[kind](A, 0.1).A)
    assert float(coherence(A)[0].min()) > 0.3
    assert float(most.max()) < 1e-12
    assert float(mean.max()) < 1e-12


def test_qr_gives_unit_rows_and_polar_the_nearest_of_one_length():
    A, _ = pair()
    eye = torch.eye(6).double().expand(3, 6, 6)
    Q = FORMS["qr"](A, 0.1).A
    torch.testing.assert_close(Q @ Q.mT, eye, atol=1e-12, rtol=0)
    assert (torch.einsum("pri,pri->pr", Q, A) > 0).all(), "rows point as they did"
    polar = FORMS["polar_fold"](A, 0.1).A
    c = torch.linalg.svdvals(A).mean(-1)
    torch.testing.assert_close(polar @ polar.mT, c[:, None, None].square() * eye, atol=1e-12, rtol=0)
    nearest = torch.linalg.vector_norm(A - polar)
    turned = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    for other in (c[:, None, None] * Q, turned @ polar):
        assert nearest < torch.linalg.vector_norm(A - other)


@pytest.mark.parametrize("kind", ["row_norm", "row_norm_fold"])
def test_row_normalization_leaves_every_cosine(kind):
    A, B = pair()
    new = FORMS[kind](A, 0.1).A

    def cosines(X):
        unit = X / X.norm(dim=-1, keepdim=True)
        return unit @ unit.mT

    torch.testing.assert_close(cosines(new), cosines(A), atol=1e-12, rtol=0)
    torch.testing.assert_close(new.norm(dim=-1), torch.ones(3, 6).double())
    assert float((unit_columns(B) @ new - B @ A).norm()) > 3 * float((B @ A).norm()), "a hidden step of B"


@pytest.mark.parametrize("kind", ["ema", "ema_fold", "gradual"])
def test_partial_kinds_lower_the_coherence_a_little(kind):
    A, _ = pair()
    before, after = coherence(A)[1], coherence(FORMS[kind](A, 0.3).A)[1]
    assert (after < before).all()
    assert (after > 0.1 * before).all()
    for _ in range(100):
        A = FORMS[kind](A, 0.3).A
    assert float(coherence(A)[0].max()) < 1e-6


@pytest.mark.parametrize("kind", FORMS)
def test_dependent_and_zero_rows_give_no_nan_and_folding_still_keeps_the_function(kind):
    A, B = pair()
    A[0, 3] = 2 * A[0, 1]
    A[1] = 0
    A[2, 2] = 0
    form = FORMS[kind](A, 0.5)
    for value in (form.A, form.inverse, form.M):
        assert torch.isfinite(value).all()
    if kind in FOLDED:
        torch.testing.assert_close((B @ form.inverse) @ form.A, B @ A, atol=1e-12, rtol=0)


def test_moments_follow_the_gradient():
    """g_A -> M^-T g_A and g_B -> g_B M^T are the gradients of the same function in the new coordinates."""
    A, B = pair()
    target = torch.randn(3, 12, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    form = FORMS["polar_fold"](A, 0.1)

    def gradients(A, B):
        A, B = A.clone().requires_grad_(), B.clone().requires_grad_()
        (B @ A - target).square().sum().backward()
        return A.grad, B.grad

    g_A, g_B = gradients(A, B)
    new_A, new_B = gradients(form.A, B @ form.inverse)
    torch.testing.assert_close(form.inverse.mT @ g_A, new_A, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(g_B @ form.M.mT, new_B, atol=1e-9, rtol=1e-9)


def test_product_norm_is_the_dense_one():
    A, B = pair()
    torch.testing.assert_close(product_norm(A, B), torch.linalg.matrix_norm(B @ A), rtol=1e-12, atol=0)
    assert float(product_norm(torch.cat([A, A], 1), torch.cat([B, -B], 2)).max()) < 1e-14
