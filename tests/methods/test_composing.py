"""The pair table says of every pair what making the adapter does."""

from __future__ import annotations

import pytest

from rankwise import methods
from rankwise.adapters import Adapter
from rankwise.adapters.inits import INITS
from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.errors import UsageError
from rankwise.methods.composing import alternatives, pairs, shapes

STARTS = [pair for pair in pairs() if pair.axis == "init"]


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


def test_every_choice_composes_with_something():
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
    assert alternatives(methods.bitfit()) == {}
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
