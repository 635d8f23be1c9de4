"""A method's card may state where its rates start: studies, surveys and ``train`` without --lr take it from there."""

import copy
import json
import sys

import pytest

from rankwise.cli.main import main
from rankwise.methods import build
from rankwise.methods.rate_rule import RateRule
from rankwise.studies.presets.resolve import resolve_study

DORA = build("dora", rank=4).to_dict()
WAYS = {  # in which the settings of a study name an arm of dora
    "a method": {"arms": [{"name": "x", "method": "dora", "options": {"rank": 4}}]},
    "an adapter that says its method": {"arms": [{"name": "x", "adapter": DORA, "made_by": {"method": "dora"}}]},
}
BY_HAND = {"arms": [{"name": "x", "adapter": DORA}]}
RULES = {  # the grids at scales quick and smoke, the rate of train at each
    "none": (None, (3e-4, 1e-3, 3e-3), (3e-3, 1e-2, 3e-2), (1e-3, 1e-3)),
    "of another family": (RateRule("edited"), (3e-5, 1e-4, 3e-4), (3e-3, 1e-2, 3e-2), (1e-4, 1e-4)),
    "a multiple": (RateRule(times=10), (3e-3, 1e-2, 3e-2), (3e-3, 1e-2, 3e-2), (1e-2, 1e-2)),
    "a grid": (RateRule(grids={"smoke": (0.1, 0.2, 0.5)}), (3e-4, 1e-3, 3e-3), (0.1, 0.2, 0.5), (1e-3, 0.2)),
    "one rate": (RateRule(grids={"quick": (7e-4,)}), (7e-4,), (3e-3, 1e-2, 3e-2), (7e-4, 1e-3)),
}


@pytest.fixture
def state(monkeypatch):
    """Let the card of dora state a rule."""

    def stated(rule):
        module = sys.modules["rankwise.methods.dora"]
        card = copy.copy(module.CARD)
        object.__setattr__(card, "rates", rule)
        monkeypatch.setattr(module, "CARD", card)
        return card

    return stated


@pytest.mark.parametrize("rule", RULES)
def test_studies_and_train_start_where_the_card_says(rule, state, capsys):
    stated, quick, smoke, trained = RULES[rule]
    assert ("rates" in state(stated).to_dict()) == (stated is not None)
    for way in WAYS.values():
        rates = {
            scale: resolve_study("methods", scale, {**way, "steps": 20}).learning_rates for scale in ("quick", "smoke")
        }
        assert rates["quick"]["x"] == quick
        assert rates["smoke"]["x"] == smoke
        assert rates["quick"]["full"] == (3e-5, 1e-4, 3e-4), "another method's stay"
    assert resolve_study("methods", "smoke", {"methods": ["dora"]}).learning_rates["dora-r4"] == smoke
    by_hand = resolve_study("methods", "quick", {**BY_HAND, "steps": 20}).learning_rates["x"]
    assert by_hand == RULES["none"][1], "nothing says that it is dora"
    for scale, rate in zip(("quick", "smoke"), trained, strict=True):
        assert main(["train", "--method", "dora", "--scale", scale, "--dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["lr"] == rate


@pytest.mark.parametrize(
    "wrong", [{"times": 0.0}, {"times": float("nan")}, {"grids": {"quick": ()}}, {"grids": {"quick": (1e-3, 1e-4)}}]
)
def test_a_rule_that_cannot_be_one_is_refused(wrong):
    with pytest.raises(ValueError, match="positive"):
        RateRule(**wrong)
