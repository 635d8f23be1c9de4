"""``events=`` of a method: every method takes it, traits refuse what cannot be, on the command line as in Python."""

from __future__ import annotations

import json

import pytest

from rankwise import methods
from rankwise.adapters import Adapter
from rankwise.adapters.events import EVENTS, HiddenKey
from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.methods.compatibility_table import alternatives

TRAIN = ["train", "--scale", "smoke", "--dry-run", "--json"]
STUDY = ["study", "methods", "--scale", "smoke", "--dry-run", "--json"]


@pytest.mark.parametrize("card", [card for card in methods.catalogue() if card.name != "full"], ids=lambda c: c.name)
def test_every_method_takes_the_events_that_the_table_says(card):
    plain = card.build()
    assert isinstance(plain, Adapter)
    allowed, own = alternatives(plain).get("event", []), {event.name for event in plain.events}
    for name in set(EVENTS) - own:
        if name in allowed:
            assert methods.build(card.name, events=name).events == (*plain.events, EVENTS[name]())
        else:
            with pytest.raises(UsageError, match=r"\.$"):
                methods.build(card.name, events=name)


def test_names_objects_lists_and_events_themselves():
    wanted = (HiddenKey(keys=0.2),)
    as_object = {"name": "hidden-key", "keys": 0.2}
    assert all(methods.lora(4, events=given).events == wanted for given in (as_object, [as_object], wanted[0], wanted))
    assert [e.name for e in methods.lora(events="hidden-key, drop-backward").events] == ["hidden-key", "drop-backward"]
    assert methods.lora(4, events=()) == methods.lora(4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "method.events=hidden-keys"], "unknown event 'hidden-keys'; did you mean 'hidden-key'"),
        (["--set", "method.events=3"], "events must be names such as 'hidden-key'"),
        (["--set", "method.events={name: hidden-key, key: 1}"], "event 'hidden-key' has no option 'key'"),
        (
            ["--method", "full", "--set", "method.events=hidden-key"],
            "method 'full' has no option 'events'",
        ),
        (["--method", "dora", "--set", "method.events=merge-and-restart"], "needs parametrization 'low-rank', found"),
        (["--method", "hidden_key", "--set", "method.events=shifted-attention"], "keep one of them"),
        (["--method", "eva", "--set", "method.events=boosting"], "needs an init that does not look at data"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, said, capsys):
    assert main([*TRAIN, *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_train_takes_it(capsys):
    assert main([*TRAIN, "--method", "dora", "--set", "method.events=[{name: hidden-key, keys: 0.2}]"]) == 0
    arm = json.loads(capsys.readouterr().out)["config"]["arms"][-1]
    assert arm["adapter"]["events"] == [HiddenKey(keys=0.2).to_dict()]


def test_every_adapter_of_a_study_takes_it(capsys, tmp_path):
    asked = ["--methods", "lora,relora", "--set", "method.events=drop-backward"]
    assert main([*STUDY, *asked, "--out", str(tmp_path / "out")]) == 0
    full, one, other = json.loads(capsys.readouterr().out)["config"]["arms"]
    assert not full["options"]
    for arm, own in ((one, 0), (other, 1)):
        assert [event["name"] for event in arm["options"]["events"]] == ["drop-backward"]
        assert arm["label"].endswith(", drop-backward")
        built = methods.build(arm["method"], **arm["options"])
        assert [event.name for event in built.events][own:] == ["drop-backward"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("method.rank=4", "--set method.events=NAME alone is for all arms of a study"),
        ("method=lora", "--set method.events=NAME alone is for all arms of a study"),
        ("method.events=merge-and-restart", "arm dora-r4: event 'merge-and-restart' merges B A and restarts and needs"),
    ],
)
def test_a_study_refuses_in_one_sentence(setting, said, capsys):
    assert main([*STUDY, "--set", setting]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_arm_of_one_s_own_takes_it(tmp_path, capsys):
    study = tmp_path / "study.yaml"
    study.write_text(
        "preset: rank\nscale: smoke\narms:\n- {method: lora, options: {rank: 2, events: [hidden-key]}}\n"
        "- {name: own, adapter: {rank: 2, events: [hidden-key]}}\n",
        encoding="utf-8",
    )
    asked = ["study", str(study), "--dry-run", "--json", "--out", str(tmp_path / "out")]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["config"]["arms"][1]["options"]["events"] == ["hidden-key"]
    assert main([*asked, "--set", "method.events=drop-backward"]) == 0
    arms = json.loads(capsys.readouterr().out)["config"]["arms"]
    found = [[event["name"] for event in made] for made in (arms[1]["options"]["events"], _named(arms[2]))]
    assert found == [["hidden-key", "drop-backward"]] * 2


def _named(arm):
    return Adapter.from_dict(arm["adapter"]).to_dict()["events"]
