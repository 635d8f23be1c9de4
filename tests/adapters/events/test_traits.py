"""What events say of themselves is what they do: others decide by these traits, never by an event's class."""

import ast
import contextlib
import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

import rankwise
from rankwise.adapters import Adapter
from rankwise.adapters.events import EVENTS
from rankwise.adapters.penalties import GateEntropy
from rankwise.engine import TrainSpec, train
from rankwise.errors import UsageError
from rankwise.methods import build, catalogue, lora

SOURCE = Path(rankwise.__file__).parent
STEPS = 4
VALUES = ("real", "softmax", "sigmoid")


@pytest.mark.parametrize("kind", EVENTS.values(), ids=list(EVENTS))
def test_stores_is_whether_updates_are_frozen_beside_the_pair(kind):
    assert kind.stores == ("freeze_update(" in inspect.getsource(inspect.getmodule(kind)))


@pytest.mark.parametrize(
    "event",
    [
        *(EVENTS[name](every=STEPS) for name in ("merge-and-restart", "boosting", "input-pruning", "orthogonalize")),
        EVENTS["orthogonalize"](every=STEPS, at_the_end=True),
        EVENTS["orthogonalize"](every=0, at_the_end=True),
    ],
    ids=lambda event: f"{event.name} {event.describe()}",
)
def test_cadence_and_end_are_what_the_traits_say(event, tiny_base, tiny_splits):
    spec = TrainSpec(replace(lora(rank=2), events=(event,)), lr=1e-2, steps=STEPS, batch=2, micro_batch=2)
    acted = [e["moment"] for e in train(tiny_base, spec, tiny_splits).events if e["step"] == STEPS]
    assert [moment for moment in acted if moment != "after_backward"] == (
        ["at_interval"] * (event.interval == STEPS and not event.spares_last and not event.acts_after_last)
        + ["at_end"] * event.acts_after_last
    )


def test_every_event_with_a_cadence_is_held_to_it():
    assert {name for name, kind in EVENTS.items() if kind.interval is not EVENTS["hidden-key"].interval} == {
        "merge-and-restart",
        "boosting",
        "input-pruning",
        "orthogonalize",
    }


def test_the_entropy_of_gates_is_for_soft_gates_whoever_has_them():
    targets = {(c.name, ""): c.build() for c in catalogue()} | {
        ("bilora", v): build("bilora", values=v) for v in VALUES
    }
    taken = set()
    for key, target in targets.items():
        if isinstance(target, Adapter):
            with contextlib.suppress(UsageError):
                replace(target, penalties=(GateEntropy(),))
                taken.add(key)
    assert taken == {("bilora", "sigmoid")}


def test_rooms_above_do_not_ask_for_an_events_class():
    """``isinstance(event, Orthogonalize)`` is a trait that is missing."""
    names = {kind.__name__ for kind in EVENTS.values()}
    wrong = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if names & set(re.findall(r"\w+", text)) else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                asked = {inner.id for inner in ast.walk(node.args[1]) if isinstance(inner, ast.Name)}
                wrong += [f"{path.relative_to(SOURCE)}:{node.lineno} {name}" for name in asked & names]
    assert not wrong
