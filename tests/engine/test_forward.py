"""The shortcuts are used only where the model allows them."""

import pytest
import torch

from rankwise.data import Limits, load_data
from rankwise.engine import Forward
from rankwise.engine.batches import collate
from rankwise.engine.reference import example_nll
from rankwise.models import byte_tokenizer, tiny_model


@pytest.fixture(scope="module")
def examples():
    return load_data("word-problems", byte_tokenizer(), limits=Limits(6, 1, 1)).train


def losses(model, examples):
    forward = Forward(model)
    batch = collate(examples)
    with torch.no_grad():
        per_example = torch.stack([part.sum() for part in forward.nll(batch).split(batch.counts)])
        plain = torch.stack([example_nll(model, e) for e in examples])
    return forward, per_example, plain


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "opt"])
def test_both_shortcuts_hold_on_common_models(kind, examples):
    forward, fast, plain = losses(tiny_model(kind=kind).eval(), examples)
    assert forward.targets_only
    assert forward.maskless
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-5)


def test_a_model_that_caps_its_logits_takes_the_stock_path(examples):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=0.5,
        sliding_window=8192,
        pad_token_id=257,
        eos_token_id=257,
        bos_token_id=256,
    )
    torch.manual_seed(0)
    forward, fast, plain = losses(Gemma2ForCausalLM(config).eval(), examples)
    assert not forward.targets_only
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-5)


def test_a_model_that_looks_ahead_keeps_its_mask(examples):
    """Padding reaches real tokens when attention is not causal: the probe must see it."""
    model = tiny_model().eval()
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    model.config._attn_implementation = "eager"
    original = model.model.forward

    def looking_ahead(*args, **kwargs):
        out = original(*args, **kwargs)
        out.last_hidden_state = out.last_hidden_state + out.last_hidden_state.mean(1, keepdim=True)
        return out

    model.model.forward = looking_ahead
    assert not Forward(model).maskless
