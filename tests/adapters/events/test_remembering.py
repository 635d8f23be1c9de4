"""Online-LoRA and EWC: plateaus where they were planted, Omega and F as written, packs and resumes exact."""

from dataclasses import replace

import pytest
import torch

from rankwise.adapters.events import ElasticWeights, OnlineLoRA
from rankwise.engine import Forward, State, TrainSpec, train
from rankwise.engine.evaluation.curvature import squared_gradients
from rankwise.engine.run import Run
from rankwise.errors import UsageError
from rankwise.methods import lora, olora
from tests.engine.packing import alone, packed, resumed_is_undisturbed, same, spec


def with_event(event, rank=2):
    return replace(lora(rank=rank), events=(event,))


def watched(trace, **options):
    event, state = OnlineLoRA(window=3, **options), {}
    return [step for step, loss in enumerate(trace, 1) if event.watch(state, loss)]


def test_plateaus_are_where_they_were_planted():
    falling = [4.0, 3.0, 2.0, 1.5, 1.2]
    flat = [1.0, 1.0, 1.0, 1.0, 1.0]
    assert watched([*falling, *flat]) == [7], "once, when the window holds still below the peak"
    assert watched([*falling, *flat, 3.0, 3.2, 3.0, 2.0, *flat]) == [7, 17], "again after a new peak"
    assert watched(flat) == [], "no plateau before anything was learned"
    assert watched([4.0, 3.0, 2.0, 1.0, 3.0, 1.0, 3.0]) == [], "it must lie still"


def run_of(base, splits, target, **changes):
    return Run(base, Forward(base.model), TrainSpec(target, **{"lr": 1e-2, "steps": 6, "batch": 4, **changes}), splits)


def test_squared_gradients_are_those_of_single_examples(tiny_base, tiny_splits):
    run = run_of(tiny_base, tiny_splits, with_event(ElasticWeights()))
    try:
        run.train_step()
        found = run.run_view.curvature([0, 2], own_labels=True)
        sums = {}
        for i in (0, 2):
            for p in run.parameters:
                p.grad = None
            from rankwise.engine.batches import collate

            run.trainee.forward.nll(collate([tiny_splits.train[i]])).sum().backward()
            for name, p in run.trainee.parameters.items():
                sums[name] = sums.get(name, 0) + p.grad.square()
                p.grad = torch.full_like(p, 7.0)
        for name, expected in sums.items():
            module, _, factor = name.rpartition(".")
            torch.testing.assert_close(found[module][factor], expected, rtol=2e-3, atol=1e-6)
        own = squared_gradients(run.trainee, tiny_splits.train[:1], own_labels=False)
        assert all((squares >= 0).all() for factors in own.values() for squares in factors.values())
        assert all((p.grad == 7).all() for p in run.parameters), "gradients under way are put back"
    finally:
        run.trainee.close()


def test_elastic_weights_pull_towards_where_the_task_before_ended(tiny_base, tiny_splits):
    target = with_event(ElasticWeights(weight=50.0, examples=3))
    first = run_of(tiny_base, tiny_splits, target, steps=2)
    try:
        first.train_step()
        first.train_step()
        start = first.state()
    finally:
        first.trainee.close()
    assert start.record[0]["tasks"] == 1
    run = Run(
        tiny_base, Forward(tiny_base.model), TrainSpec(target, lr=1e-2, steps=4, batch=4), tiny_splits, start=start
    )
    try:
        state = run.events.contexts[0].state
        for name, p in run.trainee.parameters.items():
            assert torch.equal(p, start.tensors[name])
            assert torch.equal(state[f"anchor.{name}"], p)
            p.data += 0.1
            p.grad = torch.zeros_like(p)
        run.events.fire("after_backward", 1)
        for name, p in run.trainee.parameters.items():
            torch.testing.assert_close(p.grad, 50.0 * state[f"fisher.{name}"] * 0.1, rtol=1e-3, atol=1e-7)
    finally:
        run.trainee.close()


def test_a_plateau_freezes_changes_nothing_and_keeps_the_hardest(tiny_base, tiny_splits):
    event = OnlineLoRA(window=2, level=2.0, spread=10.0, buffer=3)  # a plateau as soon as the window is full
    run = TrainSpec(with_event(event), lr=1e-2, steps=6, batch=4)
    result = train(tiny_base, run, tiny_splits)
    (fired,) = result.events
    assert fired["step"] == 2
    assert fired["probe_loss_after"] == pytest.approx(fired["probe_loss_before"], abs=1e-5)
    assert set(fired["ranks_after"].values()) == {4}
    assert len(fired["hard"]) == 3
    live = run_of(tiny_base, tiny_splits, with_event(event))
    try:
        for _ in range(2):
            live.train_step()
        state = live.events.contexts[0].state
        omega = [value for name, value in state.items() if name.startswith("omega.")]
        assert len(omega) == 28
        assert all((value >= 0).all() for value in omega)
        assert any(value.any() for value in omega)
        losses = [loss for _, loss in state["buffer"]]
        assert losses == sorted(losses, reverse=True)
    finally:
        live.trainee.close()


EVENTFUL = {
    "online": spec(with_event(OnlineLoRA(window=2, level=2.0, spread=10.0)), eval_steps=(1, 3, 5)),
    "elastic": spec(with_event(ElasticWeights(examples=2), rank=3), eval_steps=(2, 4)),
    "plain": spec(lora(rank=4)),
}


@pytest.mark.exactness
def test_packed_is_alone(tiny_base, tiny_splits, tmp_path):
    one = alone(tiny_base, tiny_splits, EVENTFUL, tmp_path / "alone")
    same(one, packed(tiny_base, tiny_splits, EVENTFUL, tmp_path / "packed"))


@pytest.mark.exactness
@pytest.mark.parametrize("name", ["online", "elastic"])
def test_resumed_equals_undisturbed(name, tiny_base, tiny_splits, tmp_path):
    resumed_is_undisturbed(tiny_base, tiny_splits, EVENTFUL[name], tmp_path)


def test_a_state_survives_the_disk(tiny_base, tiny_splits, tmp_path):
    run = run_of(tiny_base, tiny_splits, with_event(OnlineLoRA(window=2, level=2.0, spread=10.0)), steps=3)
    try:
        for _ in range(3):
            run.train_step()
        state = run.state()
    finally:
        run.trainee.close()
    state.write(tmp_path / "state.safetensors")
    again = State.read(tmp_path / "state.safetensors")
    assert again.sha256 == state.sha256
    assert again.record == state.record
    assert again.events.keys() == state.events.keys()
    assert all(torch.equal(again.events[k], state.events[k]) for k in state.events)
    assert any(name.startswith("merged/") for name in again.tensors)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OnlineLoRA(window=1), "window of 'online-lora' must be a whole number of at least 2"),
        (lambda: OnlineLoRA(weight=0), "weight of 'online-lora' must be a positive number"),
        (lambda: ElasticWeights(examples=0), "examples of 'elastic-weights' must be a whole number of at least 1"),
        (lambda: replace(olora(), events=(OnlineLoRA(),)), "does not edit it"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(UsageError, match=words):
        make()
