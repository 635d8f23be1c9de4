"""HiddenKey (arXiv 2403.00812): keys dropped by column, hidden numbers by element, two passes held together."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from rankwise import methods
from rankwise.adapters.events import HiddenKey
from rankwise.adapters.events.hidden_key import drop_attention, drop_key, hidden_cut, kept_keys
from rankwise.engine import TrainSpec, train
from rankwise.engine.attention.dropped import masking
from rankwise.engine.evaluation.scoring import score
from rankwise.errors import UsageError
from rankwise.methods import hidden_key, lora
from rankwise.models import tiny_model

from .runs import begin, spec, wide_base

KINDS = ("llama", "gpt2", "qwen2", "gemma2", "opt")


def causal_scores(n=9, heads=3, sequences=40):
    stream = torch.Generator().manual_seed(1)
    S = torch.randn(sequences, heads, n, n, generator=stream, dtype=torch.float64)
    return S.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf")), stream


def test_columns_are_dropped_for_all_queries_and_no_query_is_left_without_a_key():
    S, stream = causal_scores()
    keep = kept_keys(S, 0.4, stream)
    allowed = torch.isfinite(S)
    assert (keep & allowed).any(-1).all()
    column = keep.all(-2, keepdim=True)
    saved = keep & ~column  # a query's own key, where every other it may see is dropped
    at = saved.nonzero()
    assert len(at)
    assert torch.equal(at[:, -1], at[:, -2])
    assert not (column & allowed & saved.any(-1, keepdim=True)).any()
    assert column.double().mean() == pytest.approx(0.6, abs=0.03)
    assert not torch.equal(keep[:, 0], keep[:, 1]), "heads draw for themselves"
    assert torch.equal(kept_keys(S, 0.0, stream), torch.ones_like(keep))


def test_drop_key_and_drop_attention_have_equal_values_and_other_gradients():
    S, stream = causal_scores()
    keep = kept_keys(S, 0.4, stream)
    target = torch.randn(S.shape, generator=stream, dtype=torch.float64)
    values, gradients = [], []
    for form in (drop_key, drop_attention):
        own = S.clone().requires_grad_()
        P = form(own, keep)
        (P * target).sum().backward()
        values.append(P.detach())
        gradients.append(own.grad)
    assert torch.allclose(*values, rtol=0, atol=1e-14)
    assert torch.allclose(values[1].sum(-1), torch.ones(()).double(), atol=1e-14)
    assert (gradients[0] - gradients[1]).abs().max() > 0.1
    assert gradients[0][~keep].abs().max() == 0, "a dropped logit has no say"
    assert gradients[1][~keep & torch.isfinite(S)].abs().max() > 0, "here it has, through the softmax before"


def test_hidden_numbers_are_dropped_one_by_one_and_keep_their_mean():
    h = torch.ones(200, 500, dtype=torch.float64)
    cut = hidden_cut(h, 0.2, torch.Generator().manual_seed(0))
    assert set(cut.unique().tolist()) == {0.0, 1 / 0.8}
    assert cut.mean() == pytest.approx(1.0, abs=0.01)
    assert 0 < (cut[0] == 0).sum() < 500


def test_the_loss_is_the_mean_nll_and_beta_times_the_divergence_both_ways():
    stream = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 6, 11, generator=stream, dtype=torch.float64)
    next_ids = torch.randint(11, (6,), generator=stream)
    passes = iter((one, two))
    ctx = SimpleNamespace(generator=stream, state={}, masking=lambda *_: contextlib.nullcontext())
    found = HiddenKey(beta=0.7).objective(ctx, lambda: next(passes), next_ids)
    p, q = one.log_softmax(-1), two.log_softmax(-1)
    both = kl_div(q, p, log_target=True, reduction="none") + kl_div(p, q, log_target=True, reduction="none")
    nll = cross_entropy(one, next_ids, reduction="none") + cross_entropy(two, next_ids, reduction="none")
    assert torch.allclose(found, nll / 2 + 0.7 * both.sum(-1) / 2, rtol=0, atol=1e-13)
    assert ctx.state["seen"] == pytest.approx([float(nll.sum() / 2), float(both.sum() / 2), 6])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_that_drops_nothing_is_the_model_s_own(kind):
    model = tiny_model(kind=kind, dtype=torch.float64)
    ids = torch.randint(256, (2, 70), generator=torch.Generator().manual_seed(0))
    before = model.config._attn_implementation
    with torch.no_grad():
        own = model(input_ids=ids, use_cache=False).logits
        calls = []
        with masking(model, lambda S: calls.append(S.shape) or torch.softmax(S, -1), lambda h: h.clone()):
            ours = model(input_ids=ids, use_cache=False).logits
        with masking(model, None, lambda h: 0 * h):
            cut = model(input_ids=ids, use_cache=False).logits
    assert calls == [(2, 4, 70, 70)] * 2
    assert torch.allclose(own, ours, rtol=0, atol=1e-5)  # rotary tables and norms are float32 in any case
    assert not torch.allclose(own, cut, atol=1e-2), "the feed-forward part was reached"
    assert model.config._attn_implementation == before
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_key_is_read_by_nobody(kind):
    """With one key dropped in every layer, another token there changes no other position by a bit."""
    model = tiny_model(kind=kind)
    ids = torch.randint(256, (1, 12), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, 5] += 1
    at = torch.arange(12)
    keep = (at != 5)[None, :] | torch.eye(12, dtype=torch.bool)
    for weigh, same in ((lambda S: drop_key(S, keep), True), (lambda S: torch.softmax(S, -1), False)):
        with torch.no_grad(), masking(model, weigh, None):
            one, two = (model(input_ids=i, use_cache=False).logits[0, at != 5] for i in (ids, other))
        assert torch.equal(one, two) == same


def test_nothing_dropped_is_lora_with_no_divergence(tiny_splits):
    base = wide_base()
    one = TrainSpec(hidden_key(4, keys=0, hidden=0), lr=1e-2, steps=4, batch=4, micro_batch=2)
    found, plain = train(base, one, tiny_splits), train(base, replace(one, target=lora(4)), tiny_splits)
    assert [e["divergence"] for e in found.events] == [0.0] * 4
    assert found.losses == pytest.approx(plain.losses, abs=1e-5)
    assert found.flops == 2 * plain.flops
    assert hidden_key(beta=0).training_pass.forwards == 1


def test_what_is_dropped_moves_passes_apart_and_the_record_says_what_the_loss_was(tiny_base, tiny_splits):
    one = TrainSpec(hidden_key(4, beta=0.3), lr=1e-2, steps=3, batch=4, micro_batch=2)
    result = train(tiny_base, one, tiny_splits)
    for loss, event in zip(result.losses, result.events, strict=True):
        assert event["divergence"] > 1e-3
        assert loss == pytest.approx(event["nll"] + 0.3 * event["divergence"], rel=1e-6)
    once = train(tiny_base, replace(one, target=hidden_key(4, beta=0)), tiny_splits)
    assert once.losses == pytest.approx([event["nll"] for event in once.events], rel=1e-6)
    for part in ({"keys": 0.0}, {"hidden": 0.0}, {"position": "weights"}):
        other = train(tiny_base, replace(one, target=hidden_key(4, beta=0.3, **part)), tiny_splits)
        assert other.losses[0] != result.losses[0] or part == {"position": "weights"}
        assert other.losses[-1] != result.losses[-1], part


def test_scoring_is_that_of_plain_lora(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("hidden_key", rank=4))
    try:
        for _ in range(3):
            r.train_step()
        (found,) = score(r.trainee.forward, [r.trainee], tiny_splits.selection)
        tensors = r.trainee.snapshot()
    finally:
        r.close()
    r = begin(tiny_base, tiny_splits, replace(spec("hidden_key", rank=4), target=lora(4)))
    try:
        r.trainee.restore(tensors)
        assert score(r.trainee.forward, [r.trainee], tiny_splits.selection) == [found]
    finally:
        r.close()


def test_a_window_that_is_begun_again_draws_and_counts_the_same(tiny_base, tiny_splits):
    one = spec("hidden_key", rank=4, steps=3)
    found = []
    for again in (False, True):
        r = begin(tiny_base, tiny_splits, replace(one, eval_steps=()))
        try:
            for _ in range(3):
                if again:
                    batch = r.next_batch()
                    r.passed(float(r.losses_of(batch).detach().sum()))
                    r.rewind()
                r.train_step()
            found.append((r.result.losses, r.result.events, r.trainee.snapshot()))
        finally:
            r.close()
    assert found[0][:2] == found[1][:2]
    assert all(torch.equal(found[0][2][key], found[1][2][key]) for key in found[0][2])


def test_what_it_cannot_serve_is_refused():
    with pytest.raises(UsageError, match=r"keys must be a number in \[0, 1\), found 1"):
        hidden_key(keys=1)
    with pytest.raises(UsageError, match="position must be 'logits' or 'weights', found 'values'"):
        hidden_key(position="values")
    with pytest.raises(UsageError, match="needs an adapter on layers, found parametrization"):
        replace(methods.prompt_tuning(), events=(HiddenKey(),))
    with pytest.raises(UsageError, match="and so does another event"):
        replace(lora(4), events=(HiddenKey(), HiddenKey(beta=0.1)))
    with (
        pytest.raises(UsageError, match="no feed-forward projection by a known name"),
        masking(torch.nn.Linear(2, 2), None, lambda h: h),
    ):
        pass
    with (
        pytest.raises(UsageError, match="does not go through transformers' registry"),
        masking(torch.nn.Linear(2, 2), lambda S: S, None),
    ):
        pass


def test_a_trainer_is_refused_it():
    from rankwise.integrations.trainer_events import TrainerEvents

    handle = SimpleNamespace(adapter=hidden_key(4))
    args = SimpleNamespace(max_grad_norm=0, fp16=False, world_size=1)
    with pytest.raises(UsageError, match="makes the loss by passes of its own"):
        TrainerEvents(handle, None)._check(args)
