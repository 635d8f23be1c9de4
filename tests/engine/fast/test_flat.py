"""Flat passes give the numbers of padded ones, and are not used where they cannot."""

import copy

import pytest
import torch

from rankwise.adapters import attach
from rankwise.engine import Forward
from rankwise.methods import build
from tests.engine.fast.models import KINDS, batch, model, moved

pytestmark = pytest.mark.exactness

LENGTHS = (30, 29, 29, 21, 12, 5)  # filled up within groups, equal, and alone


@pytest.fixture(autouse=True)
def wide_softmax(monkeypatch):
    """Gemma's eager attention takes its softmax in float32 even of float64: not precise enough to compare with."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim))


def loss_and_gradients(forward, parameters, b):
    nll = forward.nll(b)
    nll.sum().backward()
    gradients = {name: p.grad.clone() for name, p in parameters.items()}
    for p in parameters.values():
        p.grad = None
    return nll.detach(), gradients


@pytest.mark.parametrize("method", ["lora", "dora", "olora"])
@pytest.mark.parametrize("kind", KINDS)
def test_flat_equals_padded_in_float64(kind, method):
    base = model(kind)
    flat, padded = Forward(base), Forward(base, flat=False)
    assert flat.layout == "flat", flat.notes
    assert padded.layout == "padded"
    parameters = moved(attach(base, build(method, rank=4), seed=1)).trainable()
    nll, gradients = loss_and_gradients(flat, parameters, batch(LENGTHS))
    stock, expected = loss_and_gradients(padded, parameters, batch(LENGTHS))
    torch.testing.assert_close(nll, stock, atol=1e-10, rtol=0)
    assert any(g.abs().max() > 1e-3 for g in expected.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_full_fine_tuning_flat_equals_padded(kind):
    base = model(kind)
    own = copy.deepcopy(base).requires_grad_(True)
    flat, padded = Forward(base).like(own), Forward(base, flat=False).like(own)
    parameters = dict(own.named_parameters())
    nll, gradients = loss_and_gradients(flat, parameters, batch(LENGTHS))
    stock, expected = loss_and_gradients(padded, parameters, batch(LENGTHS))
    torch.testing.assert_close(nll, stock, atol=1e-10, rtol=0)
    for name, gradient in gradients.items():
        # Gemma's norms sum the gradient of their gain in float32, in the order of the rows.
        bound = 1e-5 if kind == "gemma2" and "norm" in name else 1e-10
        torch.testing.assert_close(gradient, expected[name], atol=bound, rtol=bound)


def test_a_model_that_mixes_tokens_is_caught_by_the_probe():
    base = model("llama")
    layer = base.model.layers[1].mlp
    inner = layer.forward
    layer.forward = lambda x: inner(x) + 1e-9 * x.mean(1, keepdim=True)  # below the tolerance: leakage must tell
    forward = Forward(base)
    assert forward.layout == "padded"
    assert "changes another" in forward.notes[0]
    assert not forward.maskless


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: setattr(c, "attention_chunk_size", 4), "chunks"),
        (lambda c: setattr(c, "layer_types", ["linear_attention", "full_attention"]), "linear_attention"),
        (lambda c: setattr(c, "sliding_window", 4096), "to itself"),
    ],
)
def test_attention_we_do_not_know_is_left_alone(spoil, words):
    base = model("llama")
    spoil(base.config)
    forward = Forward(base)
    assert forward.layout == "padded"
    assert words in forward.notes[0]


def test_a_model_outside_transformers_runs_padded():
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(259, 8)
            self.out = torch.nn.Linear(8, 259)

        def get_input_embeddings(self):
            return self.table

        def forward(self, input_ids, **_):
            return type("Out", (), {"logits": self.out(self.table(input_ids))})

    forward = Forward(Plain())
    assert forward.layout == "padded"
    assert forward.nll(batch((9, 4))).shape == (6 + 1,)


def test_the_configuration_is_restored_also_after_an_exception():
    base = model("llama")
    forward = Forward(base)
    before = copy.deepcopy(base.config.__dict__)
    forward.nll(batch((9, 4)))
    assert base.config.__dict__ == before

    def fail(*_):
        raise KeyboardInterrupt

    hook = base.model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        forward.nll(batch((9, 4)))
    hook.remove()
    assert base.config.__dict__ == before
    assert base.config._attn_implementation == "sdpa"


def test_evaluation_without_a_graph_equals_the_training_pass():
    base = model("gemma2", attn_logit_softcapping=None)
    forward = Forward(base)
    handle = moved(attach(base, build("lora", rank=4), seed=1))
    trained = forward.nll(batch(LENGTHS))
    with torch.no_grad():
        torch.testing.assert_close(forward.nll(batch(LENGTHS)), trained, atol=1e-12, rtol=0)
    handle.detach()
