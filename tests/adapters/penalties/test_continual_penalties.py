"""The penalties of continual learning against their formulas, written out module by module in float64."""

from dataclasses import replace

import pytest
import torch

from rankwise.adapters.events.project_out import without
from rankwise.adapters.freezing import FREEZING
from rankwise.adapters.penalties import ColoraNote, NullSpace, Overlap, RowOrthogonality
from rankwise.errors import RunError, UsageError
from rankwise.methods import dora, lora


def factors(rank=4, tasks=2, seed=0, sizes=((20, 12), (20, 12), (16, 24))):
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    found = {}
    for i, (d_in, d_out) in enumerate(sizes):
        own = {"A": draw(rank, d_in).requires_grad_(), "B": draw(d_out, rank).requires_grad_()}
        if tasks:
            own |= {"merged_A": draw(tasks * rank, d_in), "merged_B": draw(d_out, tasks * rank)}
        found[f"m{i}"] = own
    return found


def test_overlap_formulas():
    found = factors()
    products = [own["merged_A"] @ own["A"].T for own in found.values()]
    torch.testing.assert_close(Overlap(norm="l1").value(found), sum(p.abs().sum() for p in products))
    torch.testing.assert_close(Overlap(norm="l2sq").value(found), sum(p.square().sum() for p in products))
    shares = []
    for own in found.values():
        Q, S = torch.linalg.qr(own["A"].T)[0], torch.linalg.qr(own["merged_A"].T)[0]
        shares.append((S.T @ Q).square().sum() / 4)
    value = Overlap(norm="share").value(found)
    torch.testing.assert_close(value, torch.stack(shares).mean(), rtol=1e-5, atol=0)
    assert 0 < float(value) < 1


@pytest.mark.parametrize("norm", ["l1", "l2sq", "share"])
def test_overlap_is_zero_exactly_on_the_complement_and_without_a_store(norm):
    found = factors()
    for own in found.values():
        own["A"] = without(own["A"].detach(), own["merged_A"]).requires_grad_()
    assert float(Overlap(norm=norm).value(found).detach()) < 1e-10
    alone = factors(tasks=0)
    value = Overlap(norm=norm).value(alone)
    value.backward()
    assert float(value.detach()) == 0
    assert not any(own["A"].grad is not None and own["A"].grad.any() for own in alone.values())


def test_only_the_share_ignores_the_size_of_A():
    small = factors()
    for own in small.values():
        own["A"] = 0.01 * own["A"]
    torch.testing.assert_close(Overlap().value(small), Overlap().value(factors()), rtol=1e-6, atol=0)
    assert float(Overlap(norm="l1").value(small)) < 0.011 * float(Overlap(norm="l1").value(factors()))
    inside = factors()
    for own in inside.values():
        own["A"] = own["merged_A"][:4] + 0.5 * own["merged_A"][4:]
    assert float(Overlap().value(inside)) == pytest.approx(1, abs=1e-4)


def test_the_gradient_of_the_share_is_right():
    own = factors(sizes=((10, 6),), rank=2, tasks=1)["m0"]

    def value(A):
        return Overlap().value({"m": {**own, "A": A}})

    assert torch.autograd.gradcheck(value, (own["A"],), atol=1e-5)


def test_null_space():
    found = factors(tasks=0)
    penalty = NullSpace(k=5, seed=3)
    expected = 0.0
    for module, own in found.items():
        P_A, P_B = (penalty.basis(module, s, n, own["A"]) for s, n in (("A", own["A"].shape[1]), ("B", len(own["B"]))))
        torch.testing.assert_close(P_A.T @ P_A, torch.eye(5).double(), atol=1e-6, rtol=0)
        expected = expected + (own["A"] @ P_A).square().sum() + (own["B"].T @ P_B).square().sum()
    torch.testing.assert_close(penalty.value(found), expected)
    assert torch.equal(penalty.basis("m0", "A", 20, own["A"]), NullSpace(k=5, seed=3).basis("m0", "A", 20, own["A"]))
    assert not torch.equal(penalty.basis("m0", "A", 20, own["A"]), penalty.basis("m1", "A", 20, own["A"]))
    A = own["A"]
    P = penalty.basis("m2", "A", A.shape[1], A)
    hard = A - A @ P @ P.T
    assert float((hard @ P).norm()) < 1e-6, "inputs in span(P) pass unchanged"


def test_the_notes_constant():
    """Three orthonormal A's in complements, B = 0, rank 8: 0.24, whatever is trained."""
    Q = torch.linalg.qr(torch.randn(40, 24, dtype=torch.float64))[0].T
    own = {"A": Q[:8], "B": torch.zeros(12, 8).double(), "merged_A": Q[8:], "merged_B": torch.zeros(12, 16).double()}
    found = {f"m{i}": own for i in range(5)}
    assert float(ColoraNote().value(found)) == pytest.approx(0.24, abs=1e-12)
    found = factors(tasks=2)
    expected = []
    for own in found.values():
        As, Bs = [own["A"], *own["merged_A"].split(4)], [own["B"], *own["merged_B"].split(4, dim=1)]
        eye = torch.eye(4).double()
        first = sum((A @ A.T - eye).square().sum() + (B.T @ B - eye).square().sum() for A, B in zip(As, Bs))
        pairs = sum((As[i] @ As[j].T).square().sum() for i, j in ((0, 1), (0, 2), (1, 2)))
        expected.append(0.01 * first + 0.001 * pairs)
    torch.testing.assert_close(ColoraNote().value(found), torch.stack(expected).mean())


def test_row_orthogonality():
    found = factors(tasks=0)
    eye = torch.eye(4).double()
    expected = torch.stack([(own["A"] @ own["A"].T - eye).square().sum() for own in found.values()]).mean()
    torch.testing.assert_close(RowOrthogonality().value(found), expected)


def test_projection_leaves_old_inputs_alone():
    own = factors(sizes=((20, 12),))["m0"]
    A = without(own["A"].detach(), own["merged_A"])
    x = own["merged_A"].T @ torch.randn(8, 3, dtype=torch.float64)
    assert float((A @ x).abs().max()) < 1e-10
    with pytest.raises(RunError, match="nothing is left for a new one"):
        without(own["A"].detach(), torch.eye(20).double())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Overlap(norm="l2"), "unknown norm of the overlap 'l2'"),
        (lambda: NullSpace(k=0), "k must be a whole number of at least 1"),
        (lambda: replace(dora(), penalties=(Overlap(),)), "needs parametrization 'low-rank', found"),
        (
            lambda: replace(lora(), freezing=FREEZING["only"](("B",)), penalties=(ColoraNote(),)),
            "acts on A, which must train",
        ),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(UsageError, match=words):
        make()
