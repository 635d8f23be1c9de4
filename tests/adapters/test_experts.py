"""Experts as three-dimensional parameters: LoRA on each of them, under every code that runs them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import silu
from torch.utils.checkpoint import checkpoint
from transformers import MixtralConfig, MixtralForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from rankwise.adapters import Adapter, attach, mixed
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import ExpertLowRank
from rankwise.adapters.placements import Experts
from rankwise.cost.count import adapter_parameters, adapter_products
from rankwise.errors import UsageError
from rankwise.methods import lora

from ..contract.models import LLAMA, Tiny
from ..contract.tools import base_hash, close, files_come_back, loss, move, run, train
from ..engine.packing import alone, packed, same, spec

COMMON = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "initializer_range": 0.3,
}


def mixtral(vocabulary: int = 32) -> nn.Module:
    config = MixtralConfig(vocab_size=vocabulary, intermediate_size=12, num_local_experts=5, **COMMON)
    return _seeded(MixtralForCausalLM, config)


def qwen() -> nn.Module:
    sizes = {"intermediate_size": 20, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 8}
    return _seeded(Qwen2MoeForCausalLM, Qwen2MoeConfig(vocab_size=32, num_experts=5, **sizes, **COMMON))


def _seeded(kind, config) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = kind(config).double().eval()
        model.set_experts_implementation("eager")  # torch has no grouped product in float64
        for module in model.modules():  # a router of zeros would send every token to the same experts
            if type(module).__name__.endswith("TopKRouter"):
                nn.init.normal_(module.weight)
    return model


MIXTRAL = Tiny("mixtral", mixtral, LLAMA.inputs, {})
QWEN = Tiny("qwen2-moe", qwen, LLAMA.inputs, {})
models = pytest.mark.parametrize("tiny", [MIXTRAL, QWEN], ids=["mixtral", "qwen2-moe"])
EXPERTS = lora(3, alpha=6.0, placement="experts")


def stacks(tiny, handle):
    """Every stack as it would be: W0 + 2 B A, expert by expert."""
    base, found = tiny.make(), {}
    for path, slot in handle.slots.items():
        f = {name: value.detach() for name, value in slot.factors.items()}
        for name in ("gate_up_proj", "down_proj"):
            delta = 2 * torch.einsum("eor,eri->eoi", f[f"{name}_B"], f[f"{name}_A"])
            found[f"{path}.{name}"] = base.get_parameter(f"{path}.{name}").detach() + delta
    return found


@models
@pytest.mark.parametrize("code", ["eager", "batched_mm", "grouped_mm"])
def test_it_starts_at_the_base_and_is_the_changed_stacks_afterwards(tiny, code):
    dtype = torch.float32 if code == "grouped_mm" else torch.float64
    model, base = tiny.prototype().to(dtype), tiny.prototype().to(dtype)
    for one in (model, base):
        one.set_experts_implementation(code)
    before = run(model, tiny)
    handle = attach(model, EXPERTS)
    assert torch.equal(run(model, tiny), before)
    move(handle)
    assert (run(model, tiny) - before).abs().max() > 1e-3
    with torch.no_grad():
        expected = functional_call(
            base, {n: t.to(dtype) for n, t in stacks(tiny, handle).items()}, (tiny.inputs,)
        ).logits
    tight = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(run(model, tiny), expected, rtol=tight, atol=tight)
    with handle.disable():
        assert torch.equal(run(model, tiny), before)


@models
def test_a_layer_is_a_dense_sum_over_all_experts(tiny):
    """Every expert runs on every token; those that were not chosen have weight zero."""
    model = tiny.make()
    handle = attach(model, EXPERTS)
    move(handle)
    changed = stacks(tiny, handle)
    for path, layer in handle.layers.items():
        x = torch.randn(7, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        scores = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        weights, chosen = scores.topk(2)
        dense = torch.zeros_like(scores).scatter(1, chosen, weights)
        gate, up = torch.einsum("eoi,ti->eto", changed[f"{path}.gate_up_proj"], x).chunk(2, dim=-1)
        expected = torch.einsum("te,eoi,eti->to", dense, changed[f"{path}.down_proj"], silu(gate) * up)
        with torch.no_grad():
            close(layer(x, chosen, weights), expected)


@models
def test_the_factors_have_the_gradients_of_the_formula_and_nothing_else_trains(tiny):
    model, base = tiny.make(), tiny.make()
    before = base_hash(model)
    handle = attach(model, EXPERTS)
    move(handle)
    leaves = {name: stack.requires_grad_() for name, stack in stacks(tiny, handle).items()}
    functional_call(base, leaves, (tiny.inputs,)).logits.square().mean().backward()
    loss(model, tiny).backward()
    for path, slot in handle.slots.items():
        for name in ("gate_up_proj", "down_proj"):
            A, B, G = (slot.factors[f"{name}_A"], slot.factors[f"{name}_B"], leaves[f"{path}.{name}"].grad)
            close(A.grad, 2 * torch.einsum("eor,eoi->eri", B.detach(), G))
            close(B.grad, 2 * torch.einsum("eoi,eri->eor", G, A.detach()))
    ours = {id(p) for p in handle.trainable().values()}
    assert all(p.grad is None for p in model.parameters() if id(p) not in ours)
    train(model, tiny, handle)
    assert base_hash(model) == before


@models
def test_merging_is_the_adapter_and_unmerging_gives_the_very_tensors_back(tiny):
    model = tiny.make()
    own, before, kind = dict(model.named_parameters()), run(model, tiny), type(model.model.layers[0].mlp.experts)
    one, two = attach(model, EXPERTS, name="one"), attach(model, EXPERTS, name="two", seed=1)
    move(one, seed=1)
    move(two, seed=2)
    adapted = run(model, tiny)
    one.merge()
    close(run(model, tiny), adapted)
    two.merge()
    close(run(model, tiny), adapted)
    with pytest.raises(UsageError, match="'one' was merged before 'two'"):
        one.unmerge()
    two.unmerge()
    one.unmerge()
    assert torch.equal(run(model, tiny), adapted)
    one.detach()
    two.detach()
    assert all(p is own[name] for name, p in model.named_parameters())
    assert torch.equal(run(model, tiny), before)
    assert type(model.model.layers[0].mlp.experts) is kind


@models
def test_files_come_back_bit_for_bit_and_training_goes_on(tiny, tmp_path):
    files_come_back(tiny, EXPERTS, tmp_path)


@models
def test_counts_and_the_rank_divided_by_the_active_experts(tiny):
    one = 24 + 16 + 16 + 12  # d_out + d_in of both stacks
    divided = replace(EXPERTS, rank=4, parametrization=ExpertLowRank(divided=True))
    for adapter, r in ((EXPERTS, 3), (divided, 2)):
        model = tiny.make()
        assert sum(adapter_parameters(model, adapter).values()) == 2 * 5 * r * one
        assert adapter_products(model, adapter) == 2 * 2 * r * one, "two experts serve a token"
        handle = attach(model, adapter)
        assert sum(m.trainable for m in handle.matched) == 2 * 5 * r * one
        assert {slot.factors["down_proj_A"].shape for slot in handle.slots.values()} == {(5, r, 12)}
    with pytest.raises(UsageError, match=r"active experts of .*experts, which are 2; use a rank that they divide"):
        attach(tiny.make(), replace(divided, rank=5))


def test_every_expert_draws_its_own_pair_and_the_dense_update_is_the_blocks():
    handle = attach(MIXTRAL.make(), EXPERTS)
    slot = next(iter(handle.slots.values()))
    A = slot.factors["gate_up_proj_A"]
    assert len({tuple(row) for row in A.flatten(1).tolist()}) == 5
    assert A.abs().max() <= 16**-0.5
    assert A.abs().max() > 0.9 * 16**-0.5
    move(handle)
    path = next(iter(handle.layers))
    delta, changed = handle.delta(path), stacks(MIXTRAL, handle)
    base = MIXTRAL.make()
    up, down = (changed[f"{path}.{n}"] - base.get_parameter(f"{path}.{n}") for n in ("gate_up_proj", "down_proj"))
    assert delta.shape == (5 * 24 + 5 * 16, 16 + 12)
    close(delta[:120, :16].reshape(5, 24, 16), up.detach())
    close(delta[120:, 16:].reshape(5, 16, 12), down.detach())
    assert not delta[:120, 16:].any()
    assert not delta[120:, :16].any()


class Turned(nn.Module):
    """Experts stored as (experts, d_in, d_out), with one bias each, which no adapter touches."""

    is_transposed = True
    num_experts = 3

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 4, 6))
        self.bias = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        return torch.einsum("ti,tio->to", x, self.up[chosen]) + self.bias[chosen]


def test_stacks_that_lie_the_other_way_and_gradient_checkpointing():
    model = nn.Sequential(Turned()).double()
    x, chosen = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    handle = attach(model, EXPERTS)
    move(handle)
    f = handle.slots["0"].factors
    assert f["up_A"].shape == (3, 3, 4)
    W = model[0].up + 2 * torch.einsum("eor,eri->eio", f["up_B"], f["up_A"])
    expected = torch.einsum("ti,tio->to", x, W[chosen]) + model[0].bias[chosen]
    again = checkpoint(model[0], x, chosen, use_reentrant=False)
    close(model[0](x, chosen), expected)
    gradients = [torch.autograd.grad(y.square().sum(), list(handle.trainable().values())) for y in (expected, again)]
    for one, other in zip(*gradients, strict=True):
        close(one, other)
    handle.merge()
    close(model[0](x, chosen), expected)


def test_what_does_not_fit_is_refused_with_the_reason():
    model = MIXTRAL.make()
    with pytest.raises(UsageError, match="placement 'experts' matches no"):
        attach(LLAMA.make(), EXPERTS)
    with pytest.raises(UsageError, match=r"experts is of kind Experts; 'low-rank' needs one matrix; use .*low-rank"):
        attach(model, Adapter(placement=Experts()))
    with pytest.raises(UsageError, match="q_proj is of kind Linear; 'expert-low-rank' is for experts"):
        attach(model, Adapter(parametrization=ExpertLowRank(), init=Own()))
    with pytest.raises(UsageError, match="starts itself, so init 'gaussian' would not act"):
        lora(placement="experts", init="gaussian")
    assert not any("experts" in path for path in attach(MIXTRAL.make(), lora(2, placement="regex:.")).layers)
    handle = attach(model, EXPERTS)
    with pytest.raises(UsageError, match="which see tokens, not examples"), mixed(model, [handle, None]):
        run(model, MIXTRAL)


@pytest.mark.exactness
def test_packed_is_alone(tiny_base, tiny_splits, tmp_path):
    base = replace(tiny_base, model=mixtral(tiny_base.model.config.vocab_size).float())
    settings = {"steps": 3, "eval_steps": (2,)}
    specs = {
        "experts": spec(EXPERTS, **settings),
        "experts again": spec(replace(EXPERTS, rank=2), **settings, seed=4, batch=3),
        "attention": spec(lora(2), **settings),
    }
    by_itself = alone(base, tiny_splits, specs, tmp_path / "alone")
    assert all(r.losses[0] != r.losses[-1] for r in by_itself[0].values())
    same(by_itself, packed(base, tiny_splits, specs, tmp_path / "packed"))
