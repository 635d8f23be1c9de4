"""What has no dense update: the invariants that still hold, and a reason wherever one does not.

Bottleneck adapters act on a layer's output, so there is nothing to merge or to write as factors. They start at the
base, leave it alone, add up, switch, mix, save, load and train on as every adapter does.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu

from rankwise.adapters import mixed
from rankwise.errors import UsageError
from rankwise.methods import bottleneck, loretta_adapter, olora

from .models import GPT2, LLAMA
from .tools import attach, base_hash, close, files_come_back, move, nothing_else_trains, run, train

every_kind = pytest.mark.parametrize("adapter", [bottleneck(4), loretta_adapter(4, tensor_rank=2)], ids=repr)
every_base = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])


def oracle(tiny, handle):
    """The plain base with hooks that apply the paper's formula."""
    base, hooks = tiny.make(), []
    for path, slot in handle.slots.items():
        f = slot.factors
        D, U = slot.parametrization.matrices(f)

        def after(module, inputs, z, D=D, U=U, f=f):
            return z + gelu(z @ D.T + f["c"]) @ U.T + f["u"]

        hooks.append(base.get_submodule(path).register_forward_hook(after))
    return run(base, tiny)


@every_base
@every_kind
def test_it_starts_at_the_base_and_is_the_formula_afterwards(adapter, tiny):
    model = tiny.make()
    before = run(model, tiny)
    handle = attach(model, adapter)
    assert torch.equal(run(model, tiny), before)
    move(handle)
    assert (run(model, tiny) - before).abs().max() > 1e-3
    close(run(model, tiny), oracle(tiny, handle))
    with handle.disable():
        assert torch.equal(run(model, tiny), before)


@every_kind
def test_it_sits_after_both_blocks_of_every_layer(adapter):
    ends = {path.rpartition(".")[2] for path in attach(LLAMA.make(), adapter).layers}
    assert ends == {"o_proj", "down_proj"}
    assert len(attach(GPT2.make(), adapter).layers) == 4
    one = attach(LLAMA.make(), bottleneck(4, after="feed-forward"))
    assert {path.rpartition(".")[2] for path in one.layers} == {"down_proj"}


def test_its_count_is_the_papers():
    handle = attach(LLAMA.make(), bottleneck(5))
    assert sum(p.numel() for p in handle.trainable().values()) == 4 * (2 * 5 * 16 + 5 + 16)


@every_base
@every_kind
def test_the_base_is_never_written_and_nothing_else_trains(adapter, tiny):
    model = tiny.make()
    before, keys = base_hash(model), list(model.state_dict())
    handle = attach(model, adapter)
    train(model, tiny, handle)
    assert base_hash(model) == before
    nothing_else_trains(model, tiny, handle)
    handle.detach()
    assert list(model.state_dict()) == keys


@every_kind
def test_save_and_load_are_bitwise_and_training_goes_on(adapter, tmp_path):
    files_come_back(LLAMA, adapter, tmp_path)


@every_kind
def test_a_mixed_batch_equals_separate_runs(adapter):
    model = LLAMA.make()
    one, two = attach(model, adapter, name="one"), attach(model, olora(3), name="two")
    move(one, seed=1)
    move(two, seed=2)
    with two.disable():
        first = run(model, LLAMA)
    with one.disable():
        second = run(model, LLAMA)
    with mixed(model, [one, two]):
        close(run(model, LLAMA), torch.stack([first[0], second[1]]))


@every_kind
def test_merging_and_exporting_say_why_not(adapter, tmp_path):
    from rankwise.integrations.export.plain import why_not_plain

    handle = attach(LLAMA.make(), adapter)
    reason = "it is a small network after the layer, which is no matrix"
    with pytest.raises(UsageError, match=f"cannot be merged: {reason}"):
        handle.merge()
    with pytest.raises(UsageError, match=f"has no dense update: {reason}"):
        handle.delta(next(iter(handle.layers)))
    assert "it is not an update of weights" in why_not_plain(adapter)


def test_an_unknown_nonlinearity_is_named():
    with pytest.raises(UsageError, match="nonlinearity of 'bottleneck' must be 'gelu' or 'relu', found 'tanh'"):
        bottleneck(nonlinearity="tanh")
