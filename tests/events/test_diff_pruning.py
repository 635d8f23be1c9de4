"""Diff pruning (arXiv 2012.07463): hard concrete gates, the price of open ones, a cut to a share of all entries."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rankwise.adapters.events import HardConcrete
from rankwise.adapters.events.hard_concrete import SURE, noise
from rankwise.adapters.parametrizations.masked_difference import gate
from rankwise.adapters.penalties import OpenGates
from rankwise.errors import UsageError
from rankwise.methods import diff_pruning, lora

from .runs import begin, spec


def test_gates_lie_between_zero_and_one_and_reach_both():
    a = torch.tensor([-SURE, math.log(0.2 / 0.8), 0.0, math.log(0.7 / 0.3), SURE], dtype=torch.float64)
    torch.testing.assert_close(gate(a), a.new_tensor([0.0, 0.0, 0.0, 0.6, 1.0]), rtol=0, atol=1e-14)
    assert gate(a)[0] == 0
    assert gate(a)[-1] == 1
    stream = torch.Generator().manual_seed(0)
    for mean in (-1.0, 0.0, 2.0):
        a = torch.full((200_000,), mean, dtype=torch.float64)
        z = gate(a + noise(a.shape, stream, a))
        assert z.min() >= 0
        assert z.max() <= 1
        # The penalty is the expected number of gates that are not zero.
        price = float(OpenGates().value({"layer": {"a": a}}))
        assert price / len(a) == pytest.approx(1 / (1 + math.exp(-mean)), abs=1e-12)
        assert float((z > 0).double().mean()) == pytest.approx(price / len(a), abs=4e-3)
        assert (z == 0).any(), "P(z = 0) > 0"


def test_the_share_that_stays_is_the_largest_and_trains_on(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, spec("diff_pruning", keep=0.02))
    try:
        for _ in range(3):
            r.train_step()
        r.train_step()  # step 4 of 8: the cut
        slots = r.trainee.handle.slots
        deltas = {path: slot.delta() for path, slot in slots.items()}
        total = sum(d.numel() for d in deltas.values())
        masks = {path: slot.factors["a"] > 0 for path, slot in slots.items()}
        assert sum(int(mask.sum()) for mask in masks.values()) == round(0.02 * total)
        assert all(torch.equal(deltas[path] != 0, masks[path]) for path in slots)
        while r.step < r.spec.steps:
            r.train_step()
        for path, slot in slots.items():
            after = slot.delta()
            assert torch.equal(after != 0, masks[path]), "the mask is fixed"
            assert torch.equal(slot.factors["a"], torch.where(masks[path], SURE, -SURE))
        assert any(not torch.equal(slot.delta(), deltas[path]) for path, slot in slots.items()), "what is left trains"
        cut = next(e for e in r.result.events if "update_norm_before" in e)
        assert cut["step"] == 4
        assert 0 < cut["update_norm_after"] < cut["update_norm_before"]
        assert cut["kept"] == round(0.02 * total)
    finally:
        r.close()


def test_passes_see_noisy_gates_and_scoring_does_not(tiny_base, tiny_splits):
    """With half-open gates a step's loss is another one for every draw; the update without noise is one."""
    losses = []
    for seed in (1, 2):
        one = replace(spec("diff_pruning", start=0.8, fixed=1.0), seed=seed, shuffle=False)
        r = begin(tiny_base, tiny_splits, one)
        try:
            with torch.no_grad():
                for slot in r.trainee.handle.slots.values():
                    slot.factors["D"].fill_(0.01)
            expected = gate(torch.tensor(0.8)) * 0.01
            for slot in r.trainee.handle.slots.values():
                assert torch.allclose(slot.delta(), expected)
            losses.append(r.train_step())
            assert 0 < r.result.events[0]["open"] < 1
        finally:
            r.close()
    assert losses[0] != losses[1]


def test_what_it_cannot_serve_is_refused():
    with pytest.raises(UsageError, match="event 'hard-concrete' opens and shuts gates and needs"):
        replace(lora(4), events=(HardConcrete(),))
    with pytest.raises(UsageError, match="penalty 'open-gates' counts gates and needs parametrization"):
        replace(lora(4), penalties=(OpenGates(),))
    for wrong, said in (
        ({"keep": 0}, r"keep must be a number in \(0, 1\]"),
        ({"fixed": 2}, "fixed must be a number"),
        ({"start": 0}, "start of 'masked-difference' must be a positive number"),
    ):
        with pytest.raises(UsageError, match=said):
            diff_pruning(**wrong)
