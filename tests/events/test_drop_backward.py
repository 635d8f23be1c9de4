"""DropBP (arXiv 2402.17812): forward as it is, no gradient into dropped blocks, rates by sensitivity."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rankwise.adapters.events.drop_backward import blocks_of, draw, share_out
from rankwise.engine import TrainSpec, train
from rankwise.errors import UsageError
from rankwise.methods import dropbp, lora

from .runs import begin, spec

BLOCKS = [f"model.layers.{i}.{part}" for i in range(2) for part in ("self_attn", "mlp")]


def passes(run):
    """One window's losses, with the gradients in place."""
    losses = []
    while not run.window_complete:
        (nll,) = run.trainee.forward.nll_many([(run.trainee.name, run.next_batch())])
        run.share(nll.sum()).backward()
        run.passed(float(nll.detach().sum()))
        losses.append(nll.detach())
    return torch.cat(losses)


def test_forward_is_the_same_and_dropped_blocks_get_no_gradient(tiny_base, tiny_splits):
    one = spec("dropbp", rank=2, calibrate=0.0)
    with_it, without = begin(tiny_base, tiny_splits, one), None
    try:
        dropped_losses = passes(with_it)
        dropped = with_it.events.contexts[0].state["dropped"]
        assert 0 < len(dropped) < 4
        for name, slot in with_it.trainee.handle.slots.items():
            inside = name.rpartition(".")[0] in dropped
            assert (slot.factors["B"].grad is None) == inside
    finally:
        with_it.close()
    without = begin(tiny_base, tiny_splits, replace(one, target=lora(2)))
    try:
        assert torch.equal(dropped_losses, passes(without))
    finally:
        without.close()


def test_rate_zero_is_lora(tiny_base, tiny_splits):
    one = TrainSpec(dropbp(4, rate=0.0), lr=1e-2, steps=4, batch=4)
    a, b = train(tiny_base, one, tiny_splits), train(tiny_base, replace(one, target=lora(4)), tiny_splits)
    assert (a.losses, a.curve) == (b.losses, b.curve)


def test_draws_follow_the_rates_and_reach_the_target():
    modules = tuple(f"{b}.{p}" for b in BLOCKS for p in ("x", "y"))
    assert blocks_of(modules) == BLOCKS
    stream, work = torch.Generator().manual_seed(0), dict.fromkeys(BLOCKS, 10)
    counts = dict.fromkeys(BLOCKS, 0)
    rates = dict(zip(BLOCKS, (0.1, 0.5, 0.9, 0.5), strict=True))
    for _ in range(2000):
        chance = dict(zip(BLOCKS, torch.rand(4, generator=stream).tolist(), strict=True))
        found = draw(rates, work, 0.5, chance)
        assert 2 <= len(found) < 4
        for block in found:
            counts[block] += 1
    assert counts[BLOCKS[0]] < counts[BLOCKS[1]] < counts[BLOCKS[2]]
    assert len(draw(dict.fromkeys(BLOCKS, 0.9), work, 0.9, dict.fromkeys(BLOCKS, 0.0))) == 3, "one always stays"


def test_rates_are_shared_out_from_the_least_sensitive_up():
    sensitivity, work = (
        dict(zip(BLOCKS, (4.0, 1.0, 3.0, 2.0), strict=True)),
        dict(zip(BLOCKS, (1, 2, 1, 2), strict=True)),
    )
    rates = share_out(sensitivity, work, 0.5)
    assert rates == dict(zip(BLOCKS, (0.0, 0.9, 0.0, 0.6), strict=True))
    assert sum((1 - rates[b]) * work[b] for b in BLOCKS) <= 0.5 * 6 + 1e-9
    assert set(share_out(sensitivity, work, 0.9).values()) == {0.9}


def hooks(base):
    """Every forward hook of the model; transformers leaves some of its own once hidden states were asked for."""
    return [hook for module in base.model.modules() for hook in module._forward_hooks]


def test_calibration_measures_what_dropping_a_block_does_to_the_gradients(tiny_base, tiny_splits):
    there = hooks(tiny_base)
    r = begin(tiny_base, tiny_splits, spec("dropbp", rank=2, calibrate=0.25))
    try:
        r.train_step()
        before = [p.grad for p in r.parameters]
        r.train_step()
        rates = r.events.contexts[0].state["rates"]
        assert set(rates) == set(BLOCKS)
        assert len(set(rates.values())) > 1
        assert before == [None] * len(before)
        assert r.trainee.generator is not None
        r.train_step()
        assert hooks(tiny_base) == there
    finally:
        r.close()


def test_backward_work_falls_with_the_rate(tiny_base, tiny_splits):
    """Matrix products of the backward pass, counted: near 1 - rate, as what lies between the blocks costs little."""
    found = {}
    for rate in (0.0, 0.5):
        r = begin(tiny_base, tiny_splits, replace(spec("dropbp", rank=2, rate=rate, calibrate=0.0), seed=3))
        try:
            total = 0
            for _ in range(6):
                while not r.window_complete:
                    (nll,) = r.trainee.forward.nll_many([(r.trainee.name, r.next_batch())])
                    loss = r.share(nll.sum())
                    with FlopCounterMode(display=False) as counter:
                        loss.backward()
                    total += counter.get_total_flops()
                    r.passed(float(nll.detach().sum()))
                r.close_window()
            found[rate] = total
        finally:
            r.close()
    assert 0.3 < found[0.5] / found[0.0] < 0.7


def test_a_run_that_ends_in_the_middle_of_a_window_leaves_no_hook(tiny_base, tiny_splits):
    there = hooks(tiny_base)
    r = begin(tiny_base, tiny_splits, spec("dropbp", rank=2))
    r.next_batch()
    assert len(hooks(tiny_base)) > len(there)
    r.close()
    assert hooks(tiny_base) == there
    result = train(tiny_base, replace(spec("dropbp", rank=2), lr=1e30, clip=0.0), tiny_splits)
    assert result.status == "diverged"
    assert hooks(tiny_base) == there


def test_a_rate_above_nine_tenths_is_refused():
    with pytest.raises(UsageError, match=r"rate must be a number in \[0, 0\.9\], found 0\.95"):
        dropbp(rate=0.95)
