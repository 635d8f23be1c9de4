"""Presets resolve; wrong settings are one sentence."""

import json

import pytest

from rankwise.cli.main import main
from rankwise.continual.stream import resolve_stream
from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.budget import forecast
from rankwise.studies.config import ARMS, GROWABLE, default_settings, parse_config
from rankwise.studies.orthogonalization.config import resolve_events
from rankwise.studies.presets.resolve import PRESETS, SCALES, resolve_study


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_resolves_at_every_scale_and_survives_its_file(preset, scale):
    config = resolve_study(preset, scale)
    designed = PRESETS[preset].design(scale).get("reference", "full")
    assert config.reference == designed
    assert config.arms[0].name == "full" if designed == "full" else config.arms[0].method == "lora"
    assert parse_config(config.to_dict()) == config
    one = set(PRESETS[preset].middle) if scale == "quick" else set()
    assert {name for name, grid in config.learning_rates.items() if len(grid) < 2} == one


def test_columns_are_part_of_a_study_and_older_folders_go_on(tmp_path):
    plain = resolve_study("smoke", "smoke").to_dict()
    option = resolve_study("smoke", "smoke", {"columns": "prompt=a,completion=b"})
    assert option == resolve_study("smoke", "smoke", {"columns": {"prompt": "a", "completion": "b"}})
    assert parse_config(option.to_dict()) == option
    folder = StudyFolder(tmp_path)
    folder.open_or_create({name: value for name, value in plain.items() if name != "columns"}, GROWABLE)
    assert folder.open_or_create(plain, GROWABLE, default_settings()) == "resumed"
    with pytest.raises(UsageError, match="has columns = null, this one has"):
        folder.open_or_create(option.to_dict(), GROWABLE, default_settings())


def test_smoke_is_the_first_preset_at_the_smallest_scale():
    config = resolve_study("smoke", "quick")
    assert (config.preset, config.scale, config.model) == ("without-regret", "smoke", "tiny")


def test_the_default_study_has_the_arms_it_promises():
    names = [arm.name for arm in resolve_study("without-regret", "quick").arms]
    assert names == ["full", "lora-r1", "lora-r16", "lora-r64", "lora-r16-attention", "lora-r16-mlp", "olora-r16"]


def test_the_tutorial_scale_is_the_tutorials_grid():
    """The grids that the tutorial prints for its four findings."""
    rank = resolve_study("rank", "tutorial")
    assert [a.options.get("rank") for a in rank.arms] == [None, 1, 64, 256]
    assert [a.options.get("alpha") for a in rank.arms] == [None, 1.0, 64.0, 256.0], "alpha = rank"
    assert rank.learning_rates["full"] == (1e-5, 2e-5)
    assert rank.learning_rates["lora-r64"] == (1e-4, 2e-4)
    assert (rank.steps, rank.batch, rank.micro_batch, rank.eval_every, rank.max_length) == (60, 16, 4, 10, 256)
    assert (rank.schedule, rank.completion_style, rank.dtype) == ("constant", "think", "bfloat16")
    rates = resolve_study("learning-rate", "tutorial")
    assert rates.learning_rates["full"] == (5e-6, 1e-5, 2e-5, 5e-5, 1e-4)
    assert rates.learning_rates["lora-r256"] == (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
    batches = resolve_study("batch-size", "tutorial")
    assert {(a.method, a.batch or 16) for a in batches.arms} == {(m, b) for m in ("full", "lora") for b in (8, 16, 32)}
    places = resolve_study("placement", "tutorial", {"model": "Qwen2.5-0.5B"})
    found = [(a.options["rank"], a.options["placement"]) for a in places.arms[1:]]
    assert found == [(128, "all-linear"), (128, "attention"), (128, "mlp"), (96, "attention"), (32, "mlp")]


def test_methods_keep_the_reference():
    config = resolve_study("without-regret", "quick", {"methods": ["olora", "lora-r1"]})
    assert [arm.name for arm in config.arms] == ["full", "lora-r1", "olora-r16"]
    assert set(config.learning_rates) == {"full", "lora-r1", "olora-r16"}


@pytest.mark.parametrize(
    ("preset", "scale", "changes", "words"),
    [
        ("without-regrets", "quick", {}, "did you mean 'without-regret'"),
        ("rank", "quik", {}, "did you mean 'quick'"),
        ("rank", "quick", {"stepz": 3}, "unknown study setting 'stepz'"),
        ("rank", "quick", {"steps": 0}, "steps"),
        ("rank", "quick", {"steps": "many"}, "steps"),
        ("rank", "quick", {"margin": 1.5}, "margin"),
        ("rank", "quick", {"fresh_seeds": [0, 1]}, "screening seed"),
        ("rank", "quick", {"methods": ["lorra"]}, "did you mean 'lora'"),
        ("rank", "quick", {"methods": ["full"]}, "at least one arm besides"),
        ("rank", "quick", {"learning_rates": {"ful": [1e-4]}}, "learning_rates 'ful'; did you mean 'full'"),
        ("rank", "quick", {"fresh_seeds": 5}, "must be a list"),
        ("rank", "quick", {"sizes": {"tset": 4}}, "did you mean 'sizes.test'"),
        ("rank", "quick", {"scale": "smoke"}, "give it by itself"),
        ("rank", "quick", {"learning_rates": {"full": [1e-3, 1e-4]}}, "ascending"),
        ("rank", "quick", {"sizes": {"train": 8, "test": 0}}, "sizes.test"),
        ("rank", "quick", {"sizes": {"train": 8, "selection": 4, "test": 4, "dev": 4}}, "sizes.dev"),
    ],
)
def test_wrong_settings_are_one_sentence(preset, scale, changes, words):
    with pytest.raises(UsageError, match=words) as caught:
        resolve_study(preset, scale, changes)
    assert "\n" not in str(caught.value)


def test_an_illegal_arm_is_refused_when_the_study_is_read():
    values = resolve_study("rank", "smoke").to_dict()
    values["arms"][1]["options"]["rank"] = 0
    with pytest.raises(UsageError, match="rank must be a whole number of at least 1"):
        parse_config(values)


TOO_MANY = {
    "arms": {"arms": [{"method": "lora"}] * 20_000},
    "learning_rates.full": {"learning_rates": {"full": [1e-6 * n for n in range(1, 20_000)]}},
    "fresh_seeds": {"fresh_seeds": list(range(1, 20_000))},
}


@pytest.mark.parametrize("setting", TOO_MANY)
def test_lists_longer_than_any_study_can_use_are_refused(setting):
    with pytest.raises(UsageError, match=f"study setting {setting}: a study takes [0-9,]+ at most, found [12]"):
        resolve_study("smoke", "smoke", TOO_MANY[setting])


def test_a_written_study_of_too_many_arms_is_refused():
    plain = resolve_study("smoke", "smoke").to_dict()
    arms = [{**plain["arms"][1], "name": f"a{n}"} for n in range(ARMS)]
    with pytest.raises(UsageError, match="study setting arms: a study takes 200 at most, found 201; ask in several"):
        parse_config({**plain, "arms": [plain["arms"][0], *arms]})


def test_lists_that_are_crossed_make_no_endless_number_of_runs():
    many = {name: list(range(1, 51)) for name in ("ranks", "seeds")}
    with pytest.raises(UsageError, match=r"its lists make [0-9,]+ runs, more than 10,000; shorten some"):
        resolve_events("smoke", {**many, "learning_rates": [n * 1e-5 for n in range(1, 51)]})
    stream = {"tasks": [{"id": "a", "data": "code-book"}], "references": ["sequential"], "seeds": list(range(20_000))}
    with pytest.raises(UsageError, match="its lists make 20,000 runs, more than 10,000; shorten some"):
        resolve_stream({**stream, "lr": 1e-3, "steps": 4, "batch": 4, "micro_batch": 4, "train": 8, "test": 4})


def test_planning_asks_what_an_arm_costs_once_and_not_for_every_rate(monkeypatch, capsys):
    asked = []
    own = forecast.run_cost
    monkeypatch.setattr(forecast, "run_cost", lambda *args, **more: asked.append(args) or own(*args, **more))
    rates = "learning_rates.full=[" + ",".join(f"{n}.0e-5" for n in range(1, 60)) + "]"
    assert main(["study", "smoke", "--dry-run", "--set", rates, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["forecast"]["runs"] == sum(map(len, found["config"]["learning_rates"].values())) > 59
    assert len(asked) < len(found["config"]["arms"]) + 8
