"""The spec refuses what cannot work before a tensor exists, naming parameter, requirement and value."""

from __future__ import annotations

import pytest

from rankwise.adapters import Adapter, Full
from rankwise.adapters.optimizers import LoRAPlus
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.errors import UsageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank must be a whole number of at least 1, found 0"),
        ({"rank": -4}, "found -4"),
        ({"rank": 8.0}, "found 8.0"),
        ({"rank": True}, "found True"),
        ({"rank": "16"}, "found '16'"),
        ({"alpha": 0}, "alpha must be a positive number, found 0"),
        ({"alpha": -1.0}, "found -1.0"),
        ({"alpha": float("inf")}, "found inf"),
        ({"alpha": float("nan")}, "found nan"),
        ({"alpha": "32"}, "alpha must be a number, found '32'"),
        ({"alpha": None}, "alpha must be a number, found None"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), found 1.0"),
        ({"dropout": -0.1}, "found -0.1"),
        ({"dropout": True}, "dropout must be a number, found True"),
        (
            {"init": "kaiming"},
            r"init must be of class Init, such as Kaiming\(\), found 'kaiming'; names are understood by",
        ),
        ({"placement": "all-linear"}, r"placement must be of class Placement, such as AllLinear\(\)"),
        ({"scaling": None}, r"scaling must be of class Scaling, such as AlphaOverRank\(\), found None"),
    ],
)
def test_illegal_values(options, message):
    with pytest.raises(UsageError, match=message):
        Adapter(**options)


def test_equal_numbers_are_one_adapter_with_one_run_key():
    one, two = Adapter(alpha=32, dropout=0), Adapter(alpha=32.0, dropout=0.0)
    assert one == two
    assert str(one.to_dict()) == str(two.to_dict()), "its hash is a run's key"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ranks": 4}, "an adapter has no 'ranks'; it takes allocation, alpha, dropout, events, freezing, init"),
        ({"init": "olra"}, "unknown init 'olra'; did you mean 'olora'"),
        ({"init": {"name": "olora", "niter": 4}}, "init 'olora' has no option 'niter'; it takes no options"),
        ({"scaling": "alpha"}, "unknown scaling 'alpha'"),
        ({"placement": {"name": "regex", "patern": "x"}}, "placement 'regex' has no option 'patern'; it takes pattern"),
        ({"parametrization": {}}, "unknown parametrization 'None'"),
        ({"parametrization": {"name": "weight-decomposed", "axis": "rows"}}, r"axis .* 'out' .* or 'in', found 'rows'"),
        ({"optimizer": "lora_plus"}, "unknown optimizer 'lora_plus'; did you mean 'lora-plus'"),
        ({"optimizer": {"name": "lora-plus", "ratio": 0.5}}, "ratio must be a number of at least 1 .*, found 0.5"),
        ({"optimizer": {"name": "lora-plus", "ratio": "16"}}, "ratio must be a number of at least 1 .*, found '16'"),
        ({"optimizer": {"name": "lora-plus", "ratio": True}}, "ratio must be a number of at least 1 .*, found True"),
        ({"optimizer": {"name": "lora-plus", "ratio": float("nan")}}, "ratio must be .*, found nan"),
    ],
)
def test_from_dict_ignores_nothing(spec, message):
    with pytest.raises(UsageError, match=message):
        Adapter.from_dict(spec)


def test_from_dict_takes_names_for_defaults():
    adapter = Adapter.from_dict({"rank": 4, "init": "pissa", "placement": {"name": "suffixes", "targets": ["q_proj"]}})
    assert adapter.init.name == "pissa"
    assert adapter.placement.targets == ("q_proj",)


def test_a_spec_from_before_the_optimizer_axis_still_loads():
    spec = Adapter(rank=4).to_dict()
    assert spec.pop("optimizer") == {"name": "adamw"}
    assert Adapter.from_dict(spec) == Adapter(rank=4)


def test_repr_golden():
    assert repr(Adapter()) == "W = W0 + (32/16) B A, rank 16, init kaiming, on 'all-linear'"
    spec = {"rank": 4, "alpha": 4, "init": "olora", "scaling": "alpha/sqrt(r)", "placement": "mlp"}
    assert repr(Adapter.from_dict(spec)) == "W = W0 + (4/√4) (B A - B0 A0), rank 4, init olora, on 'mlp'"
    assert repr(Adapter(dropout=0.05)).endswith(", dropout 0.05")
    assert repr(Adapter(parametrization=WeightDecomposed(), rank=4)) == (
        "W = m V / |V|, V = W0 + (32/4) B A, rank 4, init kaiming, on 'all-linear'"
    )
    assert Adapter(parametrization=WeightDecomposed("in")).formula == "V m / |V|, V = W0 + (32/16) B A"
    assert repr(Adapter(optimizer=LoRAPlus(8))).endswith("on 'all-linear', lr of B x 8")
    assert repr(Full()) == "W trains (fp32 master)"


def test_an_adapter_is_frozen():
    with pytest.raises(AttributeError):
        Adapter().rank = 3
