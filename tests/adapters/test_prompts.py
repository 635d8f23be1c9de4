"""Prompt and prefix tuning: rows in front of the sequence, held to the model's own inputs_embeds and to PEFT."""

from __future__ import annotations

import warnings

import pytest
import torch

from rankwise.adapters import attach, mixed
from rankwise.engine import Forward
from rankwise.engine.batches import collate
from rankwise.errors import UsageError
from rankwise.methods import build, lora, prefix_tuning, prompt_tuning

from ..contract.models import GPT2, LLAMA
from ..contract.tools import base_hash, close, files_come_back, move, nothing_else_trains, run, train

both = pytest.mark.parametrize("adapter", [prompt_tuning(5), prefix_tuning(5)], ids=["prompt", "prefix"])


@pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_a_soft_prompt_is_embeddings_in_front(tiny):
    model, plain = tiny.make(), tiny.make()
    handle = attach(model, prompt_tuning(5))
    table = plain.get_input_embeddings().weight
    (slot,) = handle.slots.values()
    P = slot.factors["P"]
    drawn = [int((table == row).all(1).nonzero()[0]) for row in P]
    assert len(set(drawn)) == 5, "five tokens of the vocabulary at the start"
    move(handle)
    embedded = torch.cat([P.expand(2, -1, -1), table[tiny.inputs]], dim=1)
    with torch.no_grad():
        expected = plain(inputs_embeds=embedded).logits[:, 5:]
    close(run(model, tiny), expected)


@both
def test_it_agrees_with_peft(adapter):
    peft = pytest.importorskip("peft")
    name = "PromptTuningConfig" if adapter.parametrization.name == "soft-prompt" else "PrefixTuningConfig"
    config = getattr(peft, name)(task_type="CAUSAL_LM", num_virtual_tokens=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(LLAMA.make(), config).double().eval()
    model = LLAMA.make()
    handle = attach(model, adapter)
    move(handle)
    theirs = wrapped.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        if adapter.parametrization.name == "soft-prompt":
            theirs.copy_(next(iter(handle.slots.values())).factors["P"])
        else:
            theirs.copy_(_as_peft_stores(model, handle))
        found = wrapped(input_ids=LLAMA.inputs).logits[:, -6:]
    close(run(model, LLAMA), found)


def _as_peft_stores(model, handle):
    """Layer by layer keys, turned by their positions, and values, side by side."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    seen, parts = {}, []
    for path, layer in handle.layers.items():
        layer.register_forward_hook(lambda module, inputs, y, path=path: seen.update({path: y[0, :5].detach()}))
    run(model, LLAMA)
    for i in range(2):
        K, V = (seen[f"model.layers.{i}.self_attn.{n}_proj"] for n in "kv")
        cos, sin = model.model.rotary_emb(K[None], torch.arange(5)[None])
        keys = K.view(1, 5, 2, 4).transpose(1, 2)
        turned, _ = apply_rotary_pos_emb(keys, keys, cos, sin)
        parts += [turned.transpose(1, 2).reshape(5, 8), V]
    return torch.cat(parts, dim=1)


@both
def test_removed_it_leaves_the_base_and_its_bits(adapter):
    model = LLAMA.make()
    before, kept, hooks = run(model, LLAMA), base_hash(model), len(model._forward_pre_hooks)
    handle = attach(model, adapter)
    train(model, LLAMA, handle)
    assert run(model, LLAMA).shape == before.shape
    assert not torch.equal(run(model, LLAMA), before)
    assert base_hash(model) == kept
    with handle.disable():
        assert torch.equal(run(model, LLAMA), before)
    handle.detach()
    assert torch.equal(run(model, LLAMA), before)
    assert len(model._forward_pre_hooks) == hooks


@both
def test_only_its_rows_train_and_they_are_as_many_as_the_paper_says(adapter):
    model = LLAMA.make()
    handle = attach(model, adapter)
    nothing_else_trains(model, LLAMA, handle)
    assert all(p.grad.count_nonzero() for p in handle.trainable().values())
    count = sum(p.numel() for p in handle.trainable().values())
    assert count == {"soft-prompt": 5 * 16, "prefix": 2 * 2 * 5 * 8}[adapter.parametrization.name]


@both
def test_files_come_back_bit_for_bit(adapter, tmp_path):
    files_come_back(LLAMA, adapter, tmp_path)


def test_labels_and_masks_are_lengthened_too():
    model, plain = LLAMA.make(), LLAMA.make()
    handle = attach(model, prompt_tuning(5))
    (slot,) = handle.slots.values()
    mask = torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    labels = LLAMA.inputs.masked_fill(mask == 0, -100)
    out = model(input_ids=LLAMA.inputs, attention_mask=mask, labels=labels)
    table = plain.get_input_embeddings().weight
    embedded = torch.cat([slot.factors["P"].expand(2, -1, -1), table[LLAMA.inputs]], dim=1)
    longer = torch.cat([torch.ones(2, 5, dtype=torch.long), mask], dim=1)
    expected = plain(
        inputs_embeds=embedded, attention_mask=longer, labels=torch.cat([labels.new_full((2, 5), -100), labels], dim=1)
    )
    close(out.loss, expected.loss)
    close(out.logits, expected.logits[:, 5:])


@both
def test_the_engine_scores_it_as_the_model_does(adapter, tiny_base, tiny_splits):
    model = tiny_base.model
    forward = Forward(model)
    handle = attach(model, adapter, name="run")
    try:
        move(handle)
        examples = tiny_splits.train[:4]
        batch = collate(examples)
        with torch.no_grad():
            (nll,) = forward.whole().nll_many([("run", batch)])
            logits = model(input_ids=batch.ids, attention_mask=batch.attention_mask).logits[batch.rows, batch.columns]
        torch.testing.assert_close(nll, torch.nn.functional.cross_entropy(logits, batch.next_ids, reduction="none"))
    finally:
        handle.detach()


@both
def test_what_it_cannot_lengthen_is_refused(adapter):
    model = LLAMA.make()
    handle = attach(model, adapter)
    ids = LLAMA.inputs
    with pytest.raises(UsageError, match=r"5 virtual tokens in front of the input, which position_ids does not allow"):
        model(input_ids=ids, position_ids=torch.arange(6)[None])
    with handle.disable():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(UsageError, match="which a cache does not allow for"):
        model(input_ids=ids, past_key_values=cache)
    with pytest.raises(UsageError, match="put in front by the model itself"):
        model.model(input_ids=ids)
    with pytest.raises(UsageError, match="which a mixed"), mixed(model, [handle, None]):
        model(input_ids=ids)
    with pytest.raises(UsageError, match="cannot be merged: it is a prompt, which changes no weight"):
        handle.merge()
    with pytest.raises(UsageError, match="matches no linear module"):
        attach(GPT2.make(), prefix_tuning(5))


def test_beside_another_adapter_it_changes_the_input_only():
    model = LLAMA.make()
    prompt, low = attach(model, prompt_tuning(3), name="prompt"), attach(model, lora(2), name="low")
    move(prompt)
    move(low)
    other = LLAMA.make()
    move(attach(other, lora(2), name="low"))
    with prompt.disable():
        assert torch.equal(run(model, LLAMA), run(other, LLAMA))
    assert run(model, LLAMA).shape == (*LLAMA.inputs.shape, 32)
    assert build("prompt_tuning", tokens=3) == prompt_tuning(3)
