"""What a context gives is a copy: whatever an event writes into it, the run has the bits that it had."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rankwise import methods
from rankwise.adapters.events import EVENTS
from rankwise.engine import PackJob, TrainSpec, train_pack
from rankwise.engine.events.context import EventContext
from rankwise.errors import RunError

from .runs import RUNS, begin

READING = ("factors", "frozen", "gradients", "losses", "curvature", "W0", "fresh", "moments", "gradient_norms")
SETTINGS = {"lr": 1e-3, "steps": 4, "batch": 2, "micro_batch": 2, "seed": 1}
# Every event once, as many as go together in one run.
TOGETHER = {
    "low-rank": [
        {"name": "orthogonalize", "every": 2},
        {"name": "input-pruning", "every": 2},
        "row-sparsity",
        "early-mask",
        {"name": "elastic-weights", "examples": 2},
        {"name": "online-lora", "window": 2, "level": 2.0, "spread": 10.0, "buffer": 2},  # a plateau at once
        "project-out",
        "merge-and-restart",
    ],
    "layers left out": ["boosting", "delta-update"],
    "layers that share": [{"name": "output-selection", "threshold": 0.6, "stage": 0.4}],
    "steps of their own": [{"name": "drop-backward", "calibrate": 0.4}, "sample-rank"],
    "passes of its own": ["hidden-key"],
    "in groups": [{"name": "shifted-attention", "group": 32}],
}
OWN = ("adalora", "sora", "dora_dyn", "aflora", "bilora", "diff_pruning")


def specs():
    """Short runs in which every event acts."""
    found = {name: methods.lora(rank=2, events=events) for name, events in TOGETHER.items()}
    found |= {name: RUNS[name].spec.target for name in OWN}
    return {name: TrainSpec(target, **SETTINGS) for name, target in found.items()}


def spoil(value: Any) -> None:
    """Write into everything that ``value`` is made of."""
    if isinstance(value, Tensor):
        value.detach().fill_(float("nan"))
    elif isinstance(value, dict):
        for own in list(value.values()):
            spoil(own)
        value.clear()


def spoiled(read):
    """``read`` for an event that, before it reads, has written into what it was given."""

    def reading(self, *args, **options):
        stream = self.generator.get_state()
        spoil(read(self, *args, **options))
        self.generator.set_state(stream)
        return read(self, *args, **options)

    return reading


def watched(watch):
    """``watch`` by an event that writes into the inputs it is shown."""

    def watching(self, see):
        watch(self, lambda module, x: (see(module, x.clone()), spoil(x)))

    return watching


def test_every_event_is_here():
    assert {event.name for spec in specs().values() for event in spec.target.events} == set(EVENTS)


@pytest.mark.exactness
def test_writing_into_what_was_read_changes_nothing(tiny_base, tiny_splits, monkeypatch):
    jobs = [PackJob(spec) for spec in specs().values()]
    before = train_pack(tiny_base, jobs, tiny_splits)
    for name in READING:
        monkeypatch.setattr(EventContext, name, spoiled(getattr(EventContext, name)))
    monkeypatch.setattr(EventContext, "watch", watched(EventContext.watch))
    after = train_pack(tiny_base, jobs, tiny_splits)
    for name, one, other in zip(specs(), before, after, strict=True):
        assert one.status == "done", name
        assert one.events or name == "in groups", name
        assert one == other, name


def test_gradients_are_written_while_a_step_can_see_it(tiny_base, tiny_splits):
    run = begin(tiny_base, tiny_splits, TrainSpec(methods.lora(2, events="orthogonalize"), **SETTINGS))
    try:
        run.train_step()
        run.next_batch()
        context, module = run.events.contexts[0], next(iter(run.trainee.handle.slots))
        A = run.trainee.handle.slots[module].trained["A"]
        A.grad = torch.ones_like(A)
        for moment in ("after_backward", "before_step"):
            context.at(moment, 2)
            context.write_gradients(module, {"A": context.gradients(module)["A"] + 1})
        assert torch.equal(A.grad, torch.full_like(A, 3))
        with pytest.raises(RunError, match=r"wrote a gradient of .*:B, which has none now"):
            context.write_gradients(module, {"B": torch.zeros(())})
        for moment in ("before_window", "after_step", "at_interval", "at_end"):
            context.at(moment, 2)
            with pytest.raises(RunError, match=f"write_gradients in {moment}, where no step follows"):
                context.write_gradients(module, {})
    finally:
        run.close()
