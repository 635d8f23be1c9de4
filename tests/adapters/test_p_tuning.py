"""P-tuning (arXiv 2103.10385): a soft prompt that a small network makes, held to inputs_embeds and to PEFT."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from rankwise.adapters import attach, load, save
from rankwise.engine import TrainSpec, train
from rankwise.errors import UsageError
from rankwise.methods import build, p_tuning

from ..contract.models import GPT2, LLAMA
from ..contract.tools import base_hash, close, loss, move, run
from ..contract.tools import train as train_a_little

every_base = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
LAYERS = ("1", "2", "3")


def network(factors):
    """The same network by torch's layers."""
    layers = []
    for i in LAYERS:
        layer = nn.Linear(*reversed(factors[f"H{i}"].shape)).double()
        with torch.no_grad():
            layer.weight.copy_(factors[f"H{i}"])
            layer.bias.copy_(factors[f"h{i}"])
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@every_base
def test_it_is_made_embeddings_in_front(tiny):
    model, plain = tiny.make(), tiny.make()
    handle = attach(model, p_tuning(5, 9))
    move(handle)
    (slot,) = handle.slots.values()
    with torch.no_grad():
        P = network(slot.factors)(slot.factors["E"])
        table = plain.get_input_embeddings().weight
        embedded = torch.cat([P.expand(2, -1, -1), table[tiny.inputs]], dim=1)
        expected = plain(inputs_embeds=embedded).logits[:, 5:]
    close(run(model, tiny), expected)


def test_it_agrees_with_peft():
    peft = pytest.importorskip("peft")
    config = peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, encoder_hidden_size=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(LLAMA.make(), config).double().eval()
    model = LLAMA.make()
    handle = attach(model, p_tuning(5, 9))
    move(handle)
    (slot,) = handle.slots.values()
    encoder = wrapped.prompt_encoder["default"]
    with torch.no_grad():
        encoder.embedding.weight.copy_(slot.factors["E"])
        for theirs, ours in zip(encoder.mlp_head, network(slot.factors), strict=True):
            if isinstance(theirs, nn.Linear):
                theirs.load_state_dict(ours.state_dict())
        found = wrapped(input_ids=LLAMA.inputs).logits[:, -6:]
    close(run(model, LLAMA), found)


@every_base
def test_removed_it_leaves_the_base_and_all_it_has_trains(tiny):
    model = tiny.make()
    before, kept = run(model, tiny), base_hash(model)
    handle = attach(model, p_tuning(5))
    loss(model, tiny).backward()
    ours = {id(p) for p in handle.trainable().values()}
    assert all((p.grad is not None) == (id(p) in ours) for p in model.parameters())
    assert all(p.grad.count_nonzero() for p in handle.trainable().values())
    width = tiny.make().get_input_embeddings().weight.shape[1]
    assert sum(p.numel() for p in handle.trainable().values()) == 5 * width + 3 * (width * width + width)
    train_a_little(model, tiny, handle)
    assert base_hash(model) == kept
    with handle.disable():
        assert torch.equal(run(model, tiny), before)
    handle.detach()
    assert torch.equal(run(model, tiny), before)


def test_files_come_back_bit_for_bit_and_training_goes_on(tmp_path):
    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, p_tuning(5, 9), seed=3)
    train_a_little(model, LLAMA, handle)
    loaded = load(fresh, save(handle, tmp_path))
    assert loaded.adapter == p_tuning(5, 9)
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))
    for one, other in ((model, handle), (fresh, loaded)):
        train_a_little(one, LLAMA, other)
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))


def test_the_engine_trains_it(tiny_base, tiny_splits):
    spec = TrainSpec(p_tuning(4, 8), lr=1e-2, steps=8, batch=4, micro_batch=2)
    result = train(tiny_base, spec, tiny_splits)
    assert result.status == "done"
    assert result.losses[-1] < result.losses[0]
    assert build("p_tuning") == p_tuning()


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="hidden of 'encoded-prompt' must be a whole number of at least 1, found 0"):
        p_tuning(width=0)
    with pytest.raises(UsageError, match="tokens of 'encoded-prompt' must be a whole number of at least 1, found 0"):
        p_tuning(tokens=0)
