"""The tangent kernel (arXiv 2210.05643): autograd against closed forms, LoRA's error, min_rank."""

import math

import pytest
import torch
from torch.func import grad, vmap

from rankwise.analysis.measures.kernels import (
    asymmetric_sign_kernel,
    log_slope,
    lora_kernel,
    min_rank,
    relative_error,
    sign_kernel,
    tangent_kernel,
    token_pair_deviation,
)

F64 = torch.float64


@pytest.fixture(scope="module")
def toy():
    """f(x) = v . tanh(W x): gradients by autograd, and the kernel by hand."""
    stream = torch.Generator().manual_seed(0)
    W, v = torch.randn(6, 5, generator=stream, dtype=F64), torch.randn(6, generator=stream, dtype=F64)
    X = torch.randn(8, 5, generator=stream, dtype=F64)
    gradients = vmap(grad(lambda W, x: v @ torch.tanh(W @ x)), (None, 0))(W, X)
    delta = v * (1 - torch.tanh(X @ W.T) ** 2)
    return gradients, (delta @ delta.T) * (X @ X.T)


def test_autograd_and_closed_form_agree_and_the_kernel_is_psd(toy):
    gradients, by_hand = toy
    K = tangent_kernel([gradients])
    torch.testing.assert_close(K, by_hand, rtol=1e-12, atol=1e-12)
    assert torch.linalg.eigvalsh(K).min() > -1e-12


def test_loras_kernel_is_unbiased_and_its_error_falls_as_one_over_root_r(toy):
    gradients, K = toy
    draws = {
        r: [lora_kernel([gradients], r, torch.Generator().manual_seed(1000 * r + k)) for k in range(400)]
        for r in (4, 16, 64)
    }
    assert relative_error(torch.stack(draws[16]).mean(0), K) < 0.05
    errors = [sum(relative_error(d, K) for d in found) / len(found) for found in draws.values()]
    assert log_slope([4, 16, 64], errors) == pytest.approx(-0.5, abs=0.05)


def test_the_deviation_of_one_pair_is_the_predicted_one():
    stream = torch.Generator().manual_seed(1)
    d, d2, x, x2 = (torch.randn(n, generator=stream, dtype=F64) for n in (6, 6, 20, 20))
    drawn = []
    for _ in range(4000):
        A = torch.randn(8, 20, generator=stream, dtype=F64) / math.sqrt(8)
        drawn.append(float((d @ d2) * ((A @ x) @ (A @ x2))))
    assert torch.tensor(drawn).std().item() == pytest.approx(token_pair_deviation(d, d2, x, x2, 8), rel=0.05)


def test_min_rank_is_the_smallest_that_satisfies_its_inequality():
    for outputs, samples in ((1, 1), (1, 3), (2, 5), (3, 160), (10, 10_000)):
        r = min_rank(outputs, samples)
        assert r * (r + 1) / 2 > outputs * samples
        assert (r - 1) * r / 2 <= outputs * samples
    with pytest.raises(ValueError, match="at least 1"):
        min_rank(0, 5)


def test_sign_kernels_by_hand(toy):
    gradients, _ = toy
    layers = [gradients, 2 * gradients.flip(2)]
    flat = [G.flatten(1) for G in layers]
    both, one = sign_kernel(layers), asymmetric_sign_kernel(layers)
    assert torch.equal(both, both.T)
    assert both.diagonal().tolist() == [60.0] * 8, "every weight agrees with itself"
    torch.testing.assert_close(one.diagonal(), sum(g.abs().sum(1) for g in flat), rtol=1e-14, atol=0)
    assert float(one[2, 5]) == pytest.approx(float(sum(g[2].sign() @ g[5] for g in flat)), rel=1e-14)
    assert not torch.allclose(one, one.T)
