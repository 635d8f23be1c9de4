"""What the papers on merging and on moving the base claim, each as its own check, in float64."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from rankwise.adapters import load
from rankwise.adapters.allocation.base import layer
from rankwise.adapters.events import Boosting, DeltaUpdate, MergeAndRestart
from rankwise.engine import TrainSpec, train
from rankwise.engine.optim import make_rate
from rankwise.errors import UsageError
from rankwise.methods import cola, delta_lora, lora, relora, xgblora

from .runs import begin, spec, wide_base

Q = "model.layers.0.self_attn.q_proj"


def rank_of(delta):
    values = torch.linalg.svdvals(delta.double())
    return int((values > max(delta.shape) * 1e-12 * values[0]).sum()) if values[0] else 0


# ReLoRA 9.1


def test_relora_merges_change_nothing_and_rank_adds_up(tiny_splits):
    r = begin(wide_base(), tiny_splits, spec("relora", rank=2, merges=3))
    try:
        ranks = []
        for _ in range(8):
            r.train_step()
            ranks.append(rank_of(r.trainee.handle.delta(Q)))
        for event in r.result.events:
            assert event["probe_loss_after"] == pytest.approx(event["probe_loss_before"], abs=1e-12)
            assert event["update_norm_after"] == pytest.approx(event["update_norm_before"], rel=1e-12)
        assert [e["step"] for e in r.result.events] == [2, 4, 6]
        assert ranks == [2, 2, 4, 4, 6, 6, 8, 8], "one link more after every merge"
    finally:
        r.close()


def test_relora_saves_all_links_as_plain_lora(tiny_base, tiny_splits, tmp_path):
    train(tiny_base, spec("relora", rank=2, merges=3), tiny_splits, save_to=tmp_path)
    handle = load(tiny_base.model, tmp_path)
    try:
        assert handle.adapter.events == ()
        assert {m.rank for m in handle.matched} <= {2, 4, 6, 8}, "the best step may be before the last merge"
    finally:
        handle.detach()


def test_relora_learning_rate_is_jagged():
    """Up to the first merge the run's own; after every merge a climb from near zero back to it."""
    rate = MergeAndRestart(times=3, warmup=0.5).reshape(make_rate("cosine", 0))
    plain = make_rate("cosine", 0)
    shares = [rate(step, 40) / plain(step, 40) for step in range(40)]
    assert shares[:10] == [1.0] * 10
    for begin_ in (10, 20, 30):
        link = shares[begin_ : begin_ + 10]
        assert link[:5] == pytest.approx([k / 6 for k in range(1, 6)])
        assert link[5:] == [1.0] * 5


def test_the_shaped_rate_is_what_the_optimizer_steps_at(tiny_base, tiny_splits):
    one = replace(spec("relora", rank=2, merges=1), schedule="linear")
    r = begin(tiny_base, tiny_splits, one)
    try:
        seen = []
        step = r.optimizer.step
        r.optimizer.step = lambda: (seen.append([g["lr"] for g in r.optimizer.param_groups]), step())[1]
        for _ in range(8):
            r.train_step()
        rate = one.target.events[0].reshape(make_rate("linear", 0))
        assert seen == [[pytest.approx(1e-2 * rate(k, 8))] for k in range(8)]
        assert seen[4][0] < seen[3][0] < seen[0][0]
    finally:
        r.close()


@pytest.mark.parametrize("moments", ["magnitude", "random"])
def test_relora_keeps_a_tenth_of_the_moments_when_asked(moments, tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("relora", rank=4, merges=1, moments=moments))
    try:
        for _ in range(3):
            r.train_step()
        before = {name: r.optimizer.state[p]["exp_avg"].clone() for name, p in r.trainee.parameters.items()}
        event, context = r.spec.target.events[0], r.events.contexts[0]
        context.at("after_step", 4)
        event._merge(context)
        kept = total = 0
        for name, p in r.trainee.parameters.items():
            now = r.optimizer.state[p]["exp_avg"]
            stayed = now != 0
            assert torch.equal(now[stayed], before[name][stayed])
            assert torch.equal(r.optimizer.state[p]["exp_avg_sq"] != 0, stayed)
            if moments == "magnitude":
                assert before[name][stayed].abs().min() >= before[name][~stayed].abs().max()
            kept, total = kept + int(stayed.sum()), total + stayed.numel()
        assert kept / total == pytest.approx(0.1, abs=0.01)
    finally:
        r.close()


# COLA 9.2


def test_a_chain_of_one_link_is_lora(tiny_base, tiny_splits):
    assert cola(4, links=1) == lora(4)
    assert relora(4, merges=0) == lora(4)


def test_cola_gives_every_link_the_whole_schedule():
    rate, plain = cola(links=4).events[0].reshape(make_rate("linear", 2)), make_rate("linear", 2)
    assert [rate(step, 40) for step in range(40)] == [plain(step, 10) for step in range(10)] * 4


def test_cola_forgets_the_optimizer_and_goes_on(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("cola", rank=2, links=2))
    try:
        for _ in range(5):
            r.train_step()
        assert {float(r.optimizer.state[p]["step"]) for p in r.parameters} == {1.0}
        assert {slot.plain()[0].shape[0] for slot in r.trainee.handle.slots.values()} == {4}
    finally:
        r.close()


# XGBLoRA 9.4


def test_xgblora_picks_layers_uniformly(tiny_base, tiny_splits):
    class Only:
        modules = tuple(f"model.layers.{i}.{p}" for i in range(6) for p in ("q", "v"))
        generator = torch.Generator().manual_seed(0)

    event, picks = Boosting(layers=0.5), Counter()
    for _ in range(2000):
        picked = {layer(module) for module in event.pick(Only)}
        assert len(picked) == 3
        picks.update(picked)
    for count in picks.values():  # 1000 expected, standard deviation 22
        assert abs(count - 1000) < 5 * 22


def test_xgblora_rank_grows_by_the_picks_and_merges_change_nothing(tiny_splits):
    r = begin(wide_base(), tiny_splits, spec("xgblora", steps=9, rank=1, every=2, layers=0.5))
    try:
        picked, module_of = Counter(), {}
        for step in range(9):
            if step % 2 == 0:
                r.train_step()
                active = r.events.contexts[0].state["active"]
                picked.update(active)
            else:
                r.train_step()
            for module in r.trainee.handle.layers:
                module_of[module] = rank_of(r.trainee.handle.delta(module))
                assert module_of[module] <= picked[module]
        assert module_of == {module: picked[module] for module in module_of}, "generic: every booster adds its rank"
        merges = [e for e in r.result.events if "merged" in e]
        assert [e["step"] for e in merges] == [2, 4, 6, 8]
        for event in merges:
            assert event["probe_loss_after"] == pytest.approx(event["probe_loss_before"], abs=1e-12)
            assert event["merged"] == 7
    finally:
        r.close()


def test_xgblora_on_all_layers_is_a_chain(tiny_base, tiny_splits, monkeypatch):
    """With all layers, the same rank and as many steps a booster as a link, at a constant rate, it is COLA."""
    monkeypatch.setattr(Boosting, "name", MergeAndRestart.name)  # the streams are named after the events
    boosted = replace(xgblora(2, every=4, layers=1.0), penalties=())
    one, two = (TrainSpec(t, lr=1e-2, steps=8, batch=4) for t in (boosted, cola(2, alpha=boosted.alpha, links=2)))
    a, b = (train(tiny_base, s, tiny_splits) for s in (one, two))
    assert (a.losses, a.curve) == (b.losses, b.curve)


# Delta-LoRA 9.6


@pytest.mark.parametrize(("begin_at", "rank"), [(0.0, 2), (0.3, 4)])
def test_delta_lora_telescopes(begin_at, rank, tiny_splits):
    base = wide_base()
    W0 = base.model.get_submodule(Q).weight.detach().clone()
    r = begin(base, tiny_splits, TrainSpec(delta_lora(2, weight=2.0, begin=begin_at), lr=1e-2, steps=10, batch=4))
    try:
        deltas = [r.trainee.handle.delta(Q)]
        for _ in range(10):
            r.train_step()
            deltas.append(r.trainee.handle.delta(Q))
        start = int(begin_at * 10)
        total = r.trainee.private.masters[Q] - W0 + deltas[-1]
        torch.testing.assert_close(total, 3 * deltas[-1] - 2 * deltas[start], rtol=1e-10, atol=1e-13)
        assert rank_of(total) <= rank
        assert not any(p.grad is not None for p in base.model.parameters())
        inside = r.trainee.private.model.get_submodule(Q).weight
        assert inside.grad is None
        assert not inside.requires_grad
        assert torch.equal(base.model.get_submodule(Q).weight, W0)
    finally:
        r.close()


def test_delta_lora_of_weight_zero_is_lora(tiny_base, tiny_splits):
    one = TrainSpec(delta_lora(4, weight=0.0), lr=1e-2, steps=4, batch=4)
    a, b = train(tiny_base, one, tiny_splits), train(tiny_base, replace(one, target=lora(4)), tiny_splits)
    assert (a.losses, a.curve) == (b.losses, b.curve)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(lora(4, dropout=0.1), events=(DeltaUpdate(),)), r"needs dropout 0: .* found 0\.1"),
        (lambda: MergeAndRestart(times=-1), "times must be a whole number of at least 0"),
        (lambda: MergeAndRestart(times=2, warmup=0.1, restart_schedule=True), "use one"),
        (lambda: MergeAndRestart(moments="some"), "unknown moments 'some'"),
        (lambda: xgblora(layers=0), r"layers must be a number in \(0, 1\]"),
    ],
)
def test_illegal_choices_are_one_sentence(make, words):
    with pytest.raises(UsageError, match=words):
        make()
