"""Rules 2 and 3: the fast path is the dense oracle, in value and in gradient; identity at the start; the counts."""

from __future__ import annotations

import pytest
import torch

from rankwise.errors import UsageError
from rankwise.methods import lora

from .models import LLAMA
from .tools import attach, close, dense_weights, every_model, every_row, loss, move, run, with_weights


@every_model
@every_row
def test_the_model_is_unchanged_at_the_start(row, tiny):
    model = tiny.make()
    before = run(model, tiny)
    attach(model, row.adapter)
    if row.identity == "exact":
        assert torch.equal(run(model, tiny), before)
    elif row.identity == "rounding":
        close(run(model, tiny), before)
    else:
        assert (run(model, tiny) - before).norm() <= 1e-3 * before.norm()


@every_model
@every_row
def test_fast_path_equals_dense_oracle_equals_delta(row, tiny):
    base, model = tiny.make(), tiny.make()
    handle = attach(model, row.adapter)
    move(handle)
    factors = {name: p.detach() for name, p in handle.trainable().items()}
    dense = dense_weights(base, row, factors, handle)
    expected = with_weights(base, dense, tiny)
    assert (expected - run(base, tiny)).abs().max() > 1e-3, "the update is too small to test anything"
    close(run(model, tiny), expected)
    for path in tiny.shapes:
        stored = dense[f"{path}.weight"] - base.get_submodule(path).weight.detach()
        close(handle.delta(path), stored if isinstance(base.get_submodule(path), torch.nn.Linear) else stored.T)


@every_model
@every_row
def test_gradients_equal_those_of_the_dense_oracle(row, tiny):
    """Autograd through W0 + oracle: dL/dB = s G A^T and dL/dA = s B^T G, also for base-editing inits."""
    base, model = tiny.make(), tiny.make()
    handle = attach(model, row.adapter)
    move(handle)
    leaves = {name: p.detach().clone().requires_grad_() for name, p in handle.trainable().items()}
    logits = with_weights(base, dense_weights(base, row, leaves, handle), tiny)
    expected = torch.autograd.grad(logits.square().mean(), list(leaves.values()))
    loss(model, tiny).backward()
    for parameter, gradient in zip(handle.trainable().values(), expected, strict=True):
        close(parameter.grad, gradient)


@every_model
@every_row
def test_which_factors_move_at_the_first_step(row, tiny):
    model = tiny.make()
    handle = attach(model, row.adapter)
    loss(model, tiny).backward()
    for name, parameter in handle.trainable().items():
        moves = name.rpartition(".")[2] in row.first_movers
        assert bool(parameter.grad.count_nonzero()) == moves, name


@every_model
@every_row
def test_every_trainable_gets_a_gradient_and_nothing_else_does(row, tiny):
    model = tiny.make()
    handle = attach(model, row.adapter)
    trainable = handle.trainable()
    optimizer = torch.optim.SGD(trainable.values(), lr=0.1)
    loss(model, tiny).backward()
    optimizer.step()  # after it, no factor is zero
    optimizer.zero_grad()
    loss(model, tiny).backward()
    for name, parameter in trainable.items():
        assert parameter.grad.count_nonzero() > 0, name
    ours = {id(p) for p in trainable.values()}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in ours), name
        assert (parameter.grad is not None) == (id(parameter) in ours), name


@every_model
@every_row
def test_matched_table_and_closed_form_count(row, tiny):
    handle = attach(tiny.make(), row.adapter)
    assert {m.module: (m.d_out, m.d_in) for m in handle.matched} == tiny.shapes
    assert [m.module for m in handle.matched] == list(tiny.shapes), "in the model's order"
    shared = row.shared(list(tiny.shapes.values()), row.rank) if row.shared else 0
    for i, match in enumerate(handle.matched):
        assert match.trainable == row.count(match.d_out, match.d_in) + (0 if i else shared), "shared: at the first"
        assert match.rank == row.rank
        assert match.scaling == pytest.approx(row.scale, rel=1e-15)
    total = sum(p.numel() for p in handle.trainable().values())
    assert total == sum(row.count(*shape) for shape in tiny.shapes.values()) + shared
    text = str(handle.matched)
    assert len(text.splitlines()) == 1 + len(tiny.shapes)
    assert len({len(line) for line in text.splitlines()}) == 1, "columns are aligned"


@every_model
@every_row
def test_the_update_has_the_rank_that_the_row_declares(row, tiny):
    handle = attach(tiny.make(), row.adapter)
    move(handle)
    for path, shape in tiny.shapes.items():
        assert torch.linalg.matrix_rank(handle.delta(path), rtol=1e-9) == row.update_rank(*shape)


def test_delta_of_a_module_that_is_not_adapted_names_the_nearest():
    handle = attach(LLAMA.make(), lora(2))
    with pytest.raises(UsageError, match=r"self_attn\.q_pro'; did you mean 'model\.layers\.0\.self_attn\.q_proj'"):
        handle.delta("model.layers.0.self_attn.q_pro")
