"""Generated pairs: what the pair table calls possible trains, and its event, penalty or optimizer acts."""

from __future__ import annotations

import pytest
import torch

from rankwise.adapters import Adapter
from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.run import Run
from rankwise.methods.compatibility_table import example, pairs

MANY = {"event": "events", "penalty": "penalties"}
# Sitting on these takes a base or placement of its own; their checks are in tests/adapters.
APART = {"bias", "norm-tuning", "soft-prompt", "prefix", "hybrid", "long-context", "expert-low-rank", "slices"}
SETTINGS = {"lr": 1e-2, "steps": 4, "batch": 2, "micro_batch": 2, "eval_steps": (4,), "seed": 1}


SMALLER = {"shifted-attention": {"name": "shifted-attention", "group": 32}}  # the default is one for long texts


def chosen():
    """One pair for every event, penalty and optimizer: the last parametrization that takes it, so seldom the usual."""
    last = {}
    for pair in pairs():
        if not pair.reason and pair.axis in (*MANY, "optimizer") and pair.parametrization not in APART:
            last[pair.axis, pair.choice] = pair
    return list(last.values())


def made(pair) -> Adapter:
    plain = example(PARAMETRIZATIONS[pair.parametrization]())
    field, choice = MANY.get(pair.axis), SMALLER.get(pair.choice, pair.choice)
    return Adapter.from_dict({**plain.to_dict(), **({field: [choice]} if field else {pair.axis: choice})})


@pytest.mark.parametrize("pair", chosen(), ids=lambda pair: f"{pair.choice}-{pair.parametrization}")
def test_a_pair_that_is_called_possible_trains(pair, tiny_base, tiny_splits):
    run = Run(tiny_base, Forward(tiny_base.model), TrainSpec(made(pair), **SETTINGS), tiny_splits)
    try:
        before = [p.detach().clone() for p in run.parameters]
        for _ in range(SETTINGS["steps"]):
            run.train_step()
        assert all(torch.isfinite(p).all() for p in run.parameters)
        assert any(not torch.equal(p, q) for p, q in zip(run.parameters, before, strict=True))
    finally:
        run.trainee.close()
