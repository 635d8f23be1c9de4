"""The hybrid: LoRA, a bottleneck and a soft prompt as one adapter, held to all three papers' formulas at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import gelu

from rankwise.adapters import Adapter, attach, load, mixed
from rankwise.adapters.freezing import Only
from rankwise.adapters.inits import Own
from rankwise.adapters.optimizers import Riemannian
from rankwise.adapters.parametrizations import Hybrid
from rankwise.adapters.placements import AllLinear
from rankwise.engine import Forward, TrainSpec, evaluate
from rankwise.engine import train as train_run
from rankwise.errors import UsageError
from rankwise.methods import build, hybrid

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import base_hash, close, files_come_back, loss, move, nothing_else_trains, run, train

SMALL = {"rank": 2, "alpha": 6.0, "width": 3, "tokens": 5}
models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])


def oracle(tiny, handle):
    """The plain base with W0 + 3 B A on queries, keys, values, hooks after the MLP, and embeddings in front."""
    base, weights, P = tiny.make(), {}, None
    for path, slot in handle.slots.items():
        f, module = {name: value.detach() for name, value in slot.factors.items()}, base.get_submodule(path)
        if set(f) == {"A", "B"}:
            delta = 3 * torch.einsum("or,ri->oi", f["B"], f["A"])
            weights[f"{path}.weight"] = module.weight + (delta if isinstance(module, nn.Linear) else delta.T)
        elif set(f) == {"P"}:
            P = f["P"]
        else:
            module.register_forward_hook(lambda m, x, z, f=f: z + gelu(z @ f["D"].T + f["c"]) @ f["U"].T + f["u"])
    embedded = base.get_input_embeddings().weight[tiny.inputs]
    both = torch.cat([P.expand(len(embedded), -1, -1), embedded], dim=1)
    with torch.no_grad():
        return functional_call(base, weights, kwargs={"inputs_embeds": both}).logits[:, len(P) :]


@models
def test_it_is_the_three_formulas_at_once(tiny):
    model = tiny.make()
    handle = attach(model, hybrid(**SMALL))
    close(run(model, tiny), oracle(tiny, handle))  # at the start: of the three only the prompt shows
    move(handle)
    close(run(model, tiny), oracle(tiny, handle))


def test_each_place_has_its_part_and_its_count():
    handle = attach(LLAMA.make(), hybrid(**SMALL))
    parts = {path.rpartition(".")[2]: set(slot.trained) for path, slot in handle.slots.items()}
    low, small = {"A", "B"}, {"D", "c", "U", "u"}
    assert parts == {"embed_tokens": {"P"}, "q_proj": low, "k_proj": low, "v_proj": low, "down_proj": small}
    lora = 2 * (16 + 16) + 2 * 2 * (16 + 8)
    assert sum(m.trainable for m in handle.matched) == 5 * 16 + 2 * (lora + 2 * 3 * 16 + 3 + 16)
    fused = attach(GPT2.make(), hybrid(**SMALL))
    assert {path.partition(".h.")[2][2:] for path in fused.layers} == {"", "attn.c_attn", "mlp.c_proj"}


@models
def test_the_base_is_never_written_and_every_part_trains(tiny):
    model = tiny.make()
    before, plain, hooks = base_hash(model), run(model, tiny), len(model._forward_pre_hooks)
    handle = attach(model, hybrid(**SMALL))
    first = loss(model, tiny).item()
    train(model, tiny, handle, steps=8)
    assert loss(model, tiny).item() < first
    nothing_else_trains(model, tiny, handle)
    assert all(p.grad.count_nonzero() for p in handle.trainable().values())
    assert base_hash(model) == before
    with handle.disable():
        assert torch.equal(run(model, tiny), plain)
    handle.detach()
    assert torch.equal(run(model, tiny), plain)
    assert len(model._forward_pre_hooks) == hooks


@models
def test_files_come_back_bit_for_bit_and_training_goes_on(tiny, tmp_path):
    files_come_back(tiny, hybrid(**SMALL), tmp_path)


def test_the_engine_trains_it_alone_and_its_file_scores_as_the_run_did(tiny_base, tiny_splits, tmp_path):
    one = TrainSpec(hybrid(**SMALL), lr=1e-2, steps=6, batch=4, micro_batch=2, eval_steps=(3,), seed=1)
    result = train_run(tiny_base, one, tiny_splits, test=True, save_to=tmp_path)
    assert result.losses[-1] < result.losses[0]
    forward = Forward(tiny_base.model).whole()
    handle = load(tiny_base.model, tmp_path, name="run")
    try:
        with forward.only("run"):
            assert evaluate(forward, tiny_splits.test).nll == result.test.nll
    finally:
        handle.detach()


def test_the_seed_decides_and_the_parts_do_not_meet():
    one, same, other = (attach(LLAMA.make(), hybrid(**SMALL), seed=seed) for seed in (1, 1, 2))
    wider = attach(LLAMA.make(), hybrid(**{**SMALL, "width": 7}), seed=1)
    for name, p in one.trainable().items():
        assert torch.equal(p, same.trainable()[name])
        if name.endswith((".A", ".P")):
            assert not torch.equal(p, other.trainable()[name])
            assert torch.equal(p, wider.trainable()[name]), "LoRA and prompt do not depend on the bottleneck"


def test_what_it_cannot_do_is_refused_with_the_reason():
    handle = attach(model := LLAMA.make(), hybrid(**SMALL))
    with pytest.raises(UsageError, match="cannot be merged: of its parts only LoRA changes weights"):
        handle.merge()
    with pytest.raises(UsageError, match="which a mixed"), mixed(model, [handle, None]):
        model(input_ids=LLAMA.inputs)
    with pytest.raises(UsageError, match="finds no query, key and value projection"):
        attach(SEQUENTIAL.make(), hybrid(**SMALL))
    with pytest.raises(UsageError, match="width of 'hybrid' must be a whole number of at least 1, found 0"):
        hybrid(width=0)
    with pytest.raises(UsageError, match="nonlinearity of 'bottleneck' must be 'gelu' or 'relu'"):
        hybrid(nonlinearity="tanh")
    with pytest.raises(UsageError, match="is a Linear; 'soft-prompt' goes on the input embeddings only"):
        attach(LLAMA.make(), Adapter(parametrization=Hybrid(tokens=3), init=Own(), placement=AllLinear()))
    with pytest.raises(UsageError, match="unknown factor"):
        Adapter(parametrization=Hybrid(), init=Own(), freezing=Only(("B",)))
    with pytest.raises(UsageError, match="optimizer"):
        Adapter(parametrization=Hybrid(), init=Own(), optimizer=Riemannian())
    assert build("hybrid", tokens=5, width=3, rank=2, alpha=6.0) == hybrid(**SMALL)
