"""What the papers say about each start (docs/design/formulas.md#starts)."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from rankwise.adapters import Adapter, attach
from rankwise.adapters.inits import INITS, Gaussian, Kaiming, OLoRA, Orthogonal, PiSSA
from rankwise.errors import UsageError
from rankwise.methods import lora, olora, pissa

from ..contract.models import GPT2, LLAMA

PLAIN = [init for init in INITS.values() if init.gives and not (init.needs_data or init.quantized)]
SHAPES = [(20, 12), (12, 20), (12, 12)]


def _weight(shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _start(init, shape, rank=4, s=2.0, seed=0):
    return init.start(_weight(shape), rank, s, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "init", [i for i in INITS.values() if i.gives and not (i.needs_data or i.quantized)], ids=lambda i: i.name
)
def test_shapes_and_dtype(init, shape):
    start = _start(init(), shape)
    assert {name: tuple(value.shape) for name, value in start.items()} == {"A": (4, shape[1]), "B": (shape[0], 4)}
    assert {value.dtype for value in start.values()} == {torch.float64}


def test_kaiming_is_uniform_to_one_over_the_root_of_d_in_and_zero():
    start = _start(Kaiming(), (30, 400), rank=64)
    A = start["A"]
    assert A.abs().max() <= 1 / 20
    assert A.abs().max() > 0.999 / 20, "the bound is reached"
    assert A.var() == pytest.approx(1 / (3 * 400), rel=0.02)
    assert stats.kstest(A.flatten().numpy(), stats.uniform(-1 / 20, 2 / 20).cdf).pvalue > 0.01
    assert not start["B"].any()


def test_kaiming_bound_is_torchs_own():
    """kaiming_uniform_ with a = sqrt(5), which PEFT calls."""
    theirs = torch.nn.init.kaiming_uniform_(torch.empty(64, 400), a=5**0.5, generator=torch.Generator().manual_seed(0))
    ours = _start(Kaiming(), (30, 400), rank=64)["A"]
    assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=1e-3)


def test_gaussian_has_standard_deviation_one_over_rank():
    start = _start(Gaussian(), (30, 400), rank=64)
    assert stats.kstest((64 * start["A"]).flatten().numpy(), "norm").pvalue > 0.01
    assert not start["B"].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [2, 4, 10])
def test_orthogonal_has_two_non_zero_factors_with_a_zero_product(shape, rank):
    start = _start(Orthogonal(), shape, rank)
    A, B = start["A"], start["B"]
    torch.testing.assert_close(B @ A, torch.zeros(shape, dtype=B.dtype), rtol=0, atol=1e-15)
    assert torch.linalg.matrix_rank(A) == torch.linalg.matrix_rank(B) == rank // 2
    assert A.norm() > 0.1
    assert B.norm() > 0.1


def test_orthogonal_entries_have_the_size_peft_gives_them():
    """A = (G Q_even)^T / 10 over rank / 2 Gaussians and orthonormal rows: variance 1 / 200 whatever the rank."""
    A = _start(Orthogonal(), (400, 400), rank=16)["A"]
    assert A.var() == pytest.approx(0.01 * 0.5, rel=0.1)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_orthogonal_refuses_an_odd_rank(rank):
    with pytest.raises(UsageError, match=f"'orthogonal' needs an even rank, found {rank}; use {rank + 1}"):
        attach(LLAMA.make(), lora(rank, init="orthogonal"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_olora_is_orthonormal_and_reproduces_the_first_columns_of_W0(shape, rank):
    start, W0 = _start(OLoRA(), shape, rank), _weight(shape)
    A, B = start["A"], start["B"]
    torch.testing.assert_close(B.T @ B, torch.eye(rank, dtype=B.dtype), rtol=0, atol=1e-13)
    torch.testing.assert_close((B @ A)[:, :rank], W0[:, :rank], rtol=0, atol=1e-13)
    assert not A.tril(-1).any(), "A0 is the top of a triangular R"


def test_olora_truncation_is_no_better_than_the_best_approximation():
    W0 = _weight((20, 12))
    qr, svd = _start(OLoRA(), (20, 12), s=1.0), _start(PiSSA(), (20, 12), s=1.0)
    tail = torch.linalg.svdvals(W0)[4:].norm()
    best, ours = ((W0 - start["B"] @ start["A"]).norm() for start in (svd, qr))
    assert best == pytest.approx(tail.item(), rel=1e-12)
    assert ours > best


@pytest.mark.parametrize("s", [1.0, 0.25, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_pissa_residual_keeps_the_tail_of_the_spectrum(shape, s):
    start, W0 = _start(PiSSA(), shape, s=s), _weight(shape)
    A, B = start["A"], start["B"]
    values = torch.linalg.svdvals(W0)
    residual = torch.linalg.svdvals(W0 - s * B @ A)
    torch.testing.assert_close(residual[:-4], values[4:], rtol=0, atol=1e-12)
    torch.testing.assert_close(residual[-4:], torch.zeros(4, dtype=B.dtype), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.svdvals(s * B @ A)[:4], values[:4], rtol=0, atol=1e-12)
    balanced = torch.diag(values[:4] / s)  # sqrt(S/s) on both sides
    torch.testing.assert_close(A @ A.T, balanced, rtol=0, atol=1e-12)
    torch.testing.assert_close(B.T @ B, balanced, rtol=0, atol=1e-12)


@pytest.mark.parametrize("adapter", [olora(4), pissa(4, alpha=8)], ids=["olora", "pissa"])
@pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_starts_on_a_model_factorize_the_weight_as_d_out_by_d_in(adapter, tiny):
    """GPT-2 stores its weights transposed; the start must not notice."""
    model = tiny.make()
    handle = attach(model, adapter)
    for path, slot in handle.slots.items():
        stored = model.get_submodule(path).weight.detach()
        W0 = stored if stored.shape == tiny.shapes[path] and tiny is LLAMA else stored.T
        expected = adapter.init.start(W0, 4, adapter.s, torch.Generator())
        torch.testing.assert_close(slot.start["B"] @ slot.start["A"], expected["B"] @ expected["A"])
        assert torch.equal(slot.start["A"], slot.factors["A"])
        assert torch.equal(slot.start["B"], slot.factors["B"])


@pytest.mark.parametrize("init", [OLoRA(), PiSSA()], ids=["olora", "pissa"])
def test_dropout_over_a_base_editing_start_is_refused(init):
    with pytest.raises(UsageError, match=f"dropout 0.1 with init '{init.name}' would change the model before training"):
        Adapter(init=init, dropout=0.1)
