"""Every setting, in every form: in a study, its file, one run and a recipe's long run it acts or is refused."""

import json
from contextlib import nullcontext

import pytest

from rankwise.cli.main import main
from rankwise.cli.options import changes
from rankwise.errors import UsageError
from rankwise.methods import lora
from rankwise.studies.config import StudyConfig
from rankwise.studies.presets.arms import full_arm
from rankwise.studies.presets.resolve import resolve_file, resolve_study
from rankwise.studies.recipes.from_study import Recipe, full_length
from rankwise.studies.running.single_config import OF_A_STUDY, single_config

# A value of every setting that no scale and no default has.
OTHER = {
    "preset": "methods",
    "scale": "tutorial",
    "model": "default",
    "data": "code-book",
    "columns": {"prompt": "text", "completion": "category"},
    "reference": "best-rank",
    "arms": [full_arm().model_dump(mode="json"), {"name": "own", "label": "Own", "method": "dora", "options": {}}],
    "learning_rates": {"lora-r4": [0.5]},
    "steps": 7,
    "batch": 3,
    "micro_batch": 1,
    "schedule": "cosine",
    "weight_decay": 0.3,
    "clip": 0.7,
    "dtype": "bfloat16",
    "eval_every": 2,
    "sizes": {"test": 9},
    "max_length": 77,
    "completion_style": "think",
    "system": "Be brief.",
    "seed": 2,
    "fresh_seeds": [8, 9, 10],
    "finalists": 1,
    "margin": 0.2,
    "margin_loss": 0.3,
    "margin_floor": 0.02,
    "until": "decided",
    "horizon": 9,
    "at_least": 1,
    "limit_seconds": 70.0,
    "search": "grid",
    "halving": {"eta": 2.5},
    "widen": 2,
    "refine": 0.2,
    "budget": {"seconds": 99.0},
    "exact_match": 5,
    "cheapest_by": "params",
    "measure": True,
    "survey": ["all"],
    "checkpoint_seconds": 5.0,
}


def test_the_table_has_every_setting():
    assert set(OTHER) == set(StudyConfig.model_fields)


def holds(found, asked):
    """Whether what was asked for is there; of a mapping, the rest is as it was."""
    if isinstance(asked, dict):
        return len(found) >= len(asked) and all(holds(found[name], value) for name, value in asked.items())
    if isinstance(asked, list) and asked and isinstance(asked[0], dict):
        return len(found) == len(asked) and all(map(holds, found, asked))
    return found == asked


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("form", ["study", "file", "run", "recipe"])
def test_a_setting_acts_or_is_refused(form, name, tmp_path):
    asked = {name: OTHER[name]}
    file = tmp_path / "own.yaml"
    file.write_text("{preset: rank, scale: smoke, sizes: {train: 20}}", encoding="utf-8")
    recipe = Recipe(resolve_study("rank", "smoke"), resolve_study("rank", "smoke").arms[1], 1e-2)
    make = {
        "study": lambda: resolve_study("rank", "smoke", asked),
        "file": lambda: resolve_file(file, asked),
        "run": lambda: single_config(lora(rank=2), "smoke", asked, 1e-2)[0],
        "recipe": lambda: full_length(recipe, asked),
    }[form]
    alone = form in ("run", "recipe")
    refused = name in OF_A_STUDY if alone else name == "survey" or (form == "study" and name in ("preset", "scale"))
    if refused:
        with pytest.raises(UsageError, match=r"would do nothing|by itself|judges nothing") as caught:
            make()
        assert "\n" not in str(caught.value)
        return
    config = make().to_dict()
    assert holds(config[name], OTHER[name])
    if form == "file":
        assert config["sizes"]["train"] == 20, "what the file says of a mapping stays beside a change to it"


@pytest.mark.parametrize(
    ("forms", "found"),
    [
        (["sizes.test=8"], {"sizes": {"test": 8}}),
        (["sizes={test: 8}"], {"sizes": {"test": 8}}),
        (["sizes.test=8", "sizes={train: 16}"], {"sizes": {"test": 8, "train": 16}}),
        (["sizes.test=8", "sizes.test=9", "steps=4"], {"sizes": {"test": 9}, "steps": 4}),
        (["sizes=4", "sizes.test=8"], {"sizes": {"test": 8}}),
    ],
)
def test_forms_on_the_command_line_mean_the_same(forms, found):
    assert changes(forms) == found


@pytest.mark.parametrize("head", [["study", "rank"], ["train"]])
@pytest.mark.parametrize("form", ["steps.x=3", "steps=null", "sizes=8", "sizes.test.x=3", "sizes.tset=3", "lr=1e-3"])
def test_wrong_forms_are_one_sentence(head, form, capsys):
    assert main([*head, "--scale", "smoke", "--set", form, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rankwise: ")
    assert form.partition("=")[0].partition(".")[0] in said


def test_a_seed_of_its_own_moves_the_fresh_ones_where_they_meet():
    assert resolve_study("rank", "smoke", {"seed": 2}).fresh_seeds == (3, 4, 5)
    assert resolve_study("rank", "smoke", {"seed": 7}).fresh_seeds == (1, 2, 3), "as it always was"


def test_methods_are_a_list_or_a_text():
    for methods in (["lora-r4", "lora-r1"], "lora-r4, lora-r1"):
        assert len(resolve_study("rank", "smoke", {"methods": methods}).arms) == 3


DECIDING = ["methods", "learning_rates", "fresh_seeds", "seed", "reference", "cheapest_by", "steps"]
FIT = [("steps", 5), ("seed", 5), ("methods", None)]


@pytest.mark.parametrize("value", [5, None, [["x"]], {"a": 1}, "x", 3e38], ids=str)
@pytest.mark.parametrize("name", DECIDING)
def test_a_setting_of_another_type_is_one_sentence(name, value, tmp_path):
    """Whatever uses it first: some decide others, before all are validated."""
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"preset": "rank", "scale": "smoke", name: value}))
    with nullcontext() if (name, value) in FIT else pytest.raises(UsageError, match=f"^{file}: "):
        resolve_file(file)
