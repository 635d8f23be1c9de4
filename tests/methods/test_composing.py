"""The pair table says of every pair what making the adapter does."""

from __future__ import annotations

import pytest

from rankwise import methods
from rankwise.adapters import Adapter
from rankwise.adapters.allocation import ALLOCATIONS
from rankwise.adapters.events import EVENTS
from rankwise.adapters.inits import INITS
from rankwise.adapters.optimizers import OPTIMIZERS
from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.adapters.penalties import PENALTIES
from rankwise.adapters.scalings import SCALINGS
from rankwise.errors import UsageError
from rankwise.methods.compatibility_table import alternatives, example, pairs, shapes

PAIRS = pairs()
STARTS = [pair for pair in PAIRS if pair.axis == "init"]
AXES = {
    "scaling": SCALINGS,
    "allocation": ALLOCATIONS,
    "optimizer": OPTIMIZERS,
    "event": EVENTS,
    "penalty": PENALTIES,
}
MANY = {"event": "events", "penalty": "penalties"}


@pytest.mark.parametrize("pair", STARTS, ids=lambda pair: f"{pair.parametrization}-{pair.choice}")
def test_the_table_is_what_construction_does(pair):
    ranked = PARAMETRIZATIONS[pair.parametrization].ranked
    spec = {"parametrization": pair.parametrization, "init": pair.choice}
    spec |= {} if ranked else {"rank": 1, "alpha": 1}
    spec |= {"storage": "nf4"} if INITS[pair.choice].quantized else {}
    if pair.reason:
        with pytest.raises(UsageError) as error:
            Adapter.from_dict(spec)
        assert str(error.value) == f"{pair.reason}."
    else:
        assert Adapter.from_dict(spec)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_every_other_axis_is_in_the_table_and_says_what_construction_does(parametrization):
    plain = example(PARAMETRIZATIONS[parametrization]()).to_dict()
    found = [pair for pair in PAIRS if pair.parametrization == parametrization]
    for axis, registry in AXES.items():
        assert [pair.choice for pair in found if pair.axis == axis] == list(registry)
    for pair in (pair for pair in found if pair.axis in AXES):
        field = MANY.get(pair.axis)
        spec = {**plain, **({field: [pair.choice]} if field else {pair.axis: pair.choice})}
        if pair.reason:
            with pytest.raises(UsageError) as error:
                Adapter.from_dict(spec)
            assert str(error.value) == f"{pair.reason}."
        else:
            assert Adapter.from_dict(Adapter.from_dict(spec).to_dict()) == Adapter.from_dict(spec)


def test_a_method_finds_its_event_in_the_table():
    """The pair that a published method is made of is one the table calls possible, axis by axis."""
    known = {(pair.parametrization, pair.axis, pair.choice): pair.reason for pair in PAIRS}
    for card in methods.catalogue():
        adapter = card.build()
        if not isinstance(adapter, Adapter) or adapter.freezing.describe():
            continue
        for axis, chosen in (("event", adapter.events), ("penalty", adapter.penalties)):
            for choice in chosen:
                reason = known[adapter.parametrization.name, axis, choice.name]
                assert not reason, (card.name, choice.name, reason)


def test_every_choice_composes_with_something():
    for axis, registry in AXES.items():
        for choice in registry:
            own = [pair for pair in PAIRS if (pair.axis, pair.choice) == (axis, choice)]
            # Two need another setting of their host than its default: a B that trains alone, gates of values="sigmoid".
            assert choice in ("lora-fa", "gate-entropy") or any(not pair.reason for pair in own), (axis, choice)
    for parametrization in PARAMETRIZATIONS:
        assert any(not pair.reason for pair in STARTS if pair.parametrization == parametrization)
    for init in INITS:
        assert any(not pair.reason for pair in STARTS if pair.choice == init)


def test_alternatives_can_be_made():
    found = alternatives(methods.lora())
    assert {"gaussian", "olora", "pissa", "eva", "corda", "milora"} <= set(found["init"])
    assert found["storage"] == ["nf4"]
    assert found["freezing"] == ["training B only"]
    assert found["dropout"] == ["any"]
    assert found["event"][:2] == ["merge-and-restart", "boosting"]
    assert "rank-allocator" not in found["event"]
    assert found["penalty"][0] == "orthogonality"
    assert "riemannian" in found["optimizer"]
    assert found["allocation"] == ["ramp"]
    assert "alpha/sqrt(r)" in found["scaling"]
    assert alternatives(methods.bitfit()).keys() == {"scaling", "optimizer", "event"}
    assert "lora-fa" in alternatives(methods.lora_fa())["optimizer"]
    assert "merge-and-restart" not in alternatives(methods.relora())["event"]
    assert "loftq" in alternatives(methods.qlora())["init"]
    own = ["orthogonal", "svd-frame", "kaiming-both", "scaled-orthogonal", "gradient-frame"]
    assert alternatives(methods.adalora())["init"] == own


def test_shapes_name_their_dimensions():
    assert shapes(methods.lora()) == {"A": "(r, d_in)", "B": "(d_out, r)"}
    assert shapes(methods.lora_fa()) == {"A": "(r, d_in), frozen", "B": "(d_out, r)"}
    assert shapes(methods.lora_xs())["C"] == "(r, r)"
    assert shapes(methods.vera()) == {
        "b": "(d_out,)",
        "d": "(r,)",
        "A": "(r, d_in), frozen, shared by all layers",
        "B": "(d_out, r), frozen, shared by all layers",
    }
