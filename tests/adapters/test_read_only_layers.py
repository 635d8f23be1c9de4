"""Layers that a model reads but never calls: an adapter there would not act, and merged it would be another model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from rankwise.adapters import attach
from rankwise.errors import UsageError
from rankwise.methods import bitfit, build, lora, olora
from rankwise.models import byte_tokenizer, load_base, read_only_layers

KINDS = {
    "mamba": {"state_size": 4, "expand": 2},
    "falcon_mamba": {"state_size": 4},
    "mamba2": {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4, "expand": 2},
}


def made(kind):
    config = AutoConfig.for_model(kind, vocab_size=258, hidden_size=16, num_hidden_layers=1, **KINDS[kind])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "adapter",
    [
        lora(2),
        olora(2),
        lora(2, placement="layers:0-0"),
        lora(2, placement="regex:proj"),
        lora(2, placement="x_proj,out_proj"),
        bitfit(),
        build("ln_tuning"),
    ],
    ids=lambda a: f"{a.parametrization.name} {a.init.name} {a.placement.describe()}",
)
def test_every_placed_layer_trains_and_merged_is_live(kind, adapter):
    model, ids = made(kind), torch.arange(6)[None]
    try:
        handle = attach(model, adapter)
    except UsageError as error:
        if all(words not in str(error) for words in ("module 'x_proj'", "no linear module", "never calls")):
            raise
        return
    with torch.no_grad():
        for p in handle.trainable().values():
            p.add_(0.2)  # a gradient of nothing but zeros would hide behind B = 0
    model(input_ids=ids).logits.square().sum().backward()
    assert [name for name, p in handle.trainable().items() if p.grad is None] == []
    live = model(input_ids=ids).logits.detach()
    if adapter.parametrization.kind == "delta":
        handle.merge()
        assert (model(input_ids=ids).logits - live).abs().max() < 1e-4 * live.abs().max()


@pytest.mark.parametrize("where", ["dt_proj,", "dt_proj,in_proj", "regex:dt_proj$"])
def test_one_that_is_named_is_refused(where):
    with pytest.raises(UsageError, match=r"mixer\.dt_proj, which this MambaForCausalLM reads but never calls"):
        attach(made("mamba"), lora(2, placement=where))


def test_what_is_left_out_is_said(tmp_path):
    made("mamba").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    assert load_base(str(tmp_path)).notes == (
        "Adapters leave out 2 layers that this model reads but never calls: conv1d, dt_proj.",
    )


class Routed(nn.Module):
    """Two experts, to the second of which no token is sent; a norm whose weight is read beside its call."""

    def __init__(self):
        super().__init__()
        self.config = object()
        self.embed = nn.Embedding(8, 4)
        self.experts = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.norm, self.scale, self.drop = nn.LayerNorm(4), nn.Linear(4, 4), nn.Dropout(0.5)

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids, use_cache):
        x = self.drop(self.embed(input_ids).to(self.experts[1].weight.dtype))
        return self.norm(self.experts[0](x)) @ self.scale.weight + self.norm.weight


def test_an_expert_without_tokens_is_not_among_them_and_nothing_is_drawn_or_changed():
    model = Routed().train()
    model.experts.eval()
    before = torch.get_rng_state()
    assert read_only_layers(model) == {"scale"}
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.training, model.experts.training) == (True, False)
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert read_only_layers(nn.Sequential(nn.Linear(2, 2))) == set()
