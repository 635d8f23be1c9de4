"""An adapter keeps the name of the method that made it, in ``study.yaml`` and its card, and nowhere in ``results``."""

import json
from pathlib import Path

import pytest

from rankwise.adapters import Adapter
from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.methods import build, card, catalogue
from rankwise.studies import api
from rankwise.studies.arm import MadeBy
from rankwise.studies.budget.budgeted import stored_plan
from rankwise.studies.config import ORIGINS, Budget, default_settings, parse_config
from rankwise.studies.presets.arms import acting
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.modelcard import _cards, write_card
from rankwise.studies.running.single_config import single_config

FILES = Path(__file__).parents[1] / "written_before" / "files"
BEFORE = ["name", "label", "method", "options", "adapter", "batch"]  # an arm's keys in files of earlier versions
LORA = {"method": "lora", "options": {"rank": 2, "events": ["hidden-key"]}}
WRITERS = {  # of one and the same run
    "an earlier version, or Python with an adapter": None,
    "train --method lora": MadeBy(**LORA),
    "train --method lora, options spelled otherwise": MadeBy(method="lora", options={"rank": 2, "alpha": 32}),
}


def config_of(made_by):
    return single_config(build("lora", rank=2), "smoke", {}, 1e-2, made_by)[0]


@pytest.mark.parametrize("first", WRITERS)
@pytest.mark.parametrize("second", WRITERS)
def test_a_folder_goes_on_whoever_made_the_adapter_there(first, second, tmp_path):
    folder = StudyFolder(tmp_path)
    written, asked = config_of(WRITERS[first]), config_of(WRITERS[second])
    assert folder.open_or_create(written.to_dict(), defaults=default_settings(), aside=ORIGINS) == "created"
    assert folder.open_or_create(asked.to_dict(), defaults=default_settings(), aside=ORIGINS) == "resumed"
    assert parse_config(folder.read_config()) == written
    assert written.train_spec(written.arms[1], 1e-2, 0) == asked.train_spec(asked.arms[1], 1e-2, 0)


def test_a_plan_for_a_budget_goes_on_too(tmp_path):
    plans = [
        parse_config({**config_of(made_by).to_dict(), "budget": {"seconds": 60, "asked": {"steps": 12}}})
        for made_by in WRITERS.values()
    ]
    folder = StudyFolder(tmp_path)
    folder.open_or_create(plans[0].to_dict())
    folder.runs.mkdir()
    for asked in plans:
        unplanned = asked.model_copy(update={"budget": Budget(seconds=60)})
        assert stored_plan(unplanned, folder) == plans[0]


def test_it_is_left_out_where_there_is_none():
    smoke = resolve_study("without-regret", "smoke")
    for arm in (*smoke.to_dict()["arms"], *config_of(None).to_dict()["arms"]):
        assert list(arm) == BEFORE
    assert config_of(MadeBy(**LORA)).to_dict()["arms"][1]["made_by"] == LORA


@pytest.mark.parametrize(
    ("words", "method", "options"),
    [
        ([], "lora", {}),
        (["--method", "dora", "--rank", "2", "--placement", "mlp"], "dora", {"rank": 2, "placement": "mlp"}),
        (
            ["--set", "method.events={name: hidden-key, keys: 0.2}"],
            "lora",
            {"events": {"name": "hidden-key", "keys": 0.2}},
        ),
        (
            ["--placement", "qkv_proj,", "--set", "method.slices=q,v", "--set", "method.slice_sizes=[8, 4, 4]"],
            "lora",
            {"placement": "qkv_proj,", "slices": "q,v", "slice_sizes": [8, 4, 4]},
        ),
    ],
)
def test_train_says_what_was_typed(words, method, options, capsys):
    assert main(["train", "--scale", "smoke", "--dry-run", "--json", *words]) == 0
    arm = json.loads(capsys.readouterr().out)["config"]["arms"][-1]
    assert arm["made_by"] == {"method": method, "options": options}
    assert arm["method"] == "custom"
    assert build(method, **options) == Adapter.from_dict(arm["adapter"])


def test_python_keeps_a_name_it_is_given(monkeypatch, tmp_path):
    monkeypatch.setattr(api, "run_single", lambda config, arm, out, progress: arm)
    given = {"model": "tiny", "data": "word-problems", "lr": 1e-2, "out": tmp_path, "scale": "smoke"}
    assert api.train(target="vera", **given).made_by == MadeBy(method="vera")
    assert api.train(target=build("vera"), **given).made_by is None
    assert api.train(target="full", **given).known_method == "full"


@pytest.mark.parametrize("name", [card.name for card in catalogue() if isinstance(card.build(), Adapter)])
def test_every_method_is_cited_by_its_card(name):
    assert _cards(build(name), name) == [card(name)]


@pytest.mark.parametrize(
    ("method", "options", "cited"),
    [
        ("lora", {"init": "olora"}, ["lora", "olora"]),
        ("dora", {"events": "hidden-key"}, ["dora", "hidden_key"]),
        (None, {}, ["lora"]),
        (None, {"init": "olora"}, ["olora"]),
    ],
)
def test_what_options_bring_in_is_cited_too(method, options, cited):
    assert [found.name for found in _cards(build(method or "lora", **options), method)] == cited


@pytest.mark.parametrize("method", ["lora", "olora", None])
def test_the_best_arms_card_cites_its_method(method, tmp_path):
    document = json.loads((FILES / "study" / "results.json").read_text(encoding="utf-8"))
    write_card(tmp_path, "lora-r1", document, method)
    said = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert [c.name for c in catalogue() if c.citation and c.citation in said] == [method] * (method is not None)


def test_events_of_all_arms_are_among_the_options():
    arm = config_of(MadeBy(**LORA)).arms[1]
    (more,) = acting((arm,), {"events": "drop-backward"})
    assert [event["name"] for event in more.made_by.options["events"]] == ["hidden-key", "drop-backward"]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"method": "lora", "made_by": {"method": "lora"}}, "there is no adapter; give method itself"),
        ({"adapter": Adapter().to_dict(), "made_by": {"method": "lroa"}}, "unknown method 'lroa'"),
        ({"adapter": Adapter().to_dict(), "made_by": {"method": "lora", "rank": 4}}, "made_by.rank"),
        ({"adapter": Adapter().to_dict(), "made_by": "lora"}, "made_by"),
    ],
)
def test_a_wrong_one_is_told(arm, said):
    with pytest.raises(UsageError) as caught:
        resolve_study("without-regret", "smoke", {"arms": [arm]})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
