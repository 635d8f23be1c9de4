"""Every method that acts while it trains: its events fire when they say, survive a resume, and mind no neighbor."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from rankwise.adapters import load
from rankwise.engine import Forward, PackJob, RunResult, TrainSpec, evaluate, train, train_pack
from rankwise.methods import build, catalogue, lora
from rankwise.models import fingerprint

from ..engine.packing import weights
from .runs import RUNS, spec

every_run = pytest.mark.parametrize("name", RUNS)
_done: dict[str, RunResult] = {}


@pytest.fixture
def whole(tiny_base, tiny_splits, tmp_path_factory):
    """The run by itself, trained once, and where its adapter is."""
    folder = tmp_path_factory.getbasetemp() / "whole"

    def get(name):
        if name not in _done:
            one = RUNS[name].spec
            _done[name] = train(tiny_base, one, tiny_splits, test=True, save_to=folder / name)
        return _done[name], folder / name

    return get


def test_every_method_with_events_is_here():
    acting = {c.name for c in catalogue() if getattr(c.build(), "events", ())}
    assert acting <= {name.partition(",")[0] for name in RUNS}


@every_run
def test_events_fire_when_they_say_and_say_what_they_did(name, whole):
    result, _ = whole(name)
    assert result.status == "done"
    assert [e["step"] for e in result.events] == RUNS[name].steps
    for event in result.events:
        said = set(event) - {"event", "step", "moment"}
        assert said, "a record says what was done"
        if "probe_loss_before" in event:
            assert {"update_norm_before", "update_norm_after", "ranks_before", "ranks_after"} <= said
    assert result.losses[0] != result.losses[-1]
    assert RunResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.exactness
@every_run
def test_resumed_equals_undisturbed(name, tiny_base, tiny_splits, tmp_path, whole):
    one, (expected, saved) = RUNS[name].spec, whole(name)
    for until in one.eval_steps[:-1]:
        part = train(tiny_base, one, tiny_splits, test=True, folder=tmp_path / "run", until=until)
        assert part.events == [e for e in expected.events if e["step"] <= until]
    again = train(tiny_base, one, tiny_splits, test=True, folder=tmp_path / "run", save_to=tmp_path / "again")
    assert again == expected
    before, after = weights_of(saved), weights_of(tmp_path / "again")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def weights_of(folder):
    from safetensors.torch import load_file

    model = folder / "model.safetensors"
    return load_file(model) if model.exists() else weights(folder)


@pytest.mark.exactness
def test_packed_is_alone_with_events_at_different_steps(tiny_base, tiny_splits, whole):
    """All of them, and plain LoRA, in one pack; owners of the base wait for their turn."""
    before = fingerprint(tiny_base.model)
    plain = TrainSpec(lora(rank=3, dropout=0.2), lr=1e-2, steps=6, batch=5, seed=2)
    jobs = [PackJob(RUNS[name].spec, test=True) for name in RUNS] + [PackJob(plain, test=True)]
    packed = train_pack(tiny_base, jobs, tiny_splits)
    for name, result in zip(RUNS, packed, strict=False):
        assert result == whole(name)[0], name
    assert packed[-1] == train(tiny_base, plain, tiny_splits, test=True)
    assert fingerprint(tiny_base.model) == before, "the shared base is as it was"


@pytest.mark.parametrize("name", [n for n in RUNS if n != "delta_lora"])
def test_what_was_saved_scores_as_the_run_did(name, tiny_base, tiny_splits, whole):
    result, folder = whole(name)
    handle = load(tiny_base.model, folder)
    try:
        assert evaluate(Forward(tiny_base.model), tiny_splits.test).nll == pytest.approx(result.test.nll, abs=1e-4)
    finally:
        handle.detach()


def test_a_window_that_is_begun_again_draws_the_same(tiny_base, tiny_splits, whole):
    """A neighbor that runs out of memory makes everybody begin the window again: no event may notice."""
    from rankwise.engine.run import Run

    one = RUNS["dylora"].spec
    told = []
    run = Run(tiny_base, Forward(tiny_base.model), one, tiny_splits, observe=told.append)
    try:
        for _ in range(one.steps):
            run.next_batch()
            run.rewind()
            run.train_step()
        assert run.result.events == whole("dylora")[0].events
        assert [r for r in told if r.get("event") == "sample-rank"] == run.result.events
    finally:
        run.close()


def test_events_act_in_runs_of_one_and_two_steps(tiny_base, tiny_splits):
    for name in (
        "adalora",
        "dora_dyn",
        "sora",
        "roselora",
        "sparse_adapter",
        "dylora",
        "delta_lora",
        "bilora",
        "relora",
    ):
        for steps in (1, 2):
            result = train(tiny_base, TrainSpec(build(name), lr=1e-3, steps=steps, batch=2), tiny_splits)
            assert result.status == "done"
            if name in ("adalora", "sora", "dylora"):
                assert result.events, f"{name} always acts"


def test_weight_decay_and_clipping_do_not_disturb_what_rests(tiny_base, tiny_splits):
    """Factors taken out of a step are not decayed either."""
    one = replace(spec("xgblora", rank=1, every=99, layers=0.5), weight_decay=0.1, clip=0.01)
    from .runs import begin

    run = begin(tiny_base, tiny_splits, one)
    try:
        start = {name: p.detach().clone() for name, p in run.trainee.parameters.items()}
        for _ in range(3):
            run.train_step()
        active = set(run.events.contexts[0].state["active"])
        moved = {
            name.rpartition(".")[0] for name, p in run.trainee.parameters.items() if not torch.equal(p, start[name])
        }
        assert moved == active
        assert Counter(name.split(".")[2] for name in active) in (Counter({"0": 7}), Counter({"1": 7}))
    finally:
        run.close()
