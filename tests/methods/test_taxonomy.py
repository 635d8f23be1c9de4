"""Places in the taxonomies (arXiv 2407.05417)."""

import json

import pytest

from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.cli.main import main
from rankwise.methods import build, catalogue
from rankwise.methods.taxonomy import TAGS, tag

SURVEY = {  # as arXiv 2407.05417 lists them
    "reconstruction/1": ["sam_parser"],
    "reconstruction/2": ["ia3", "bitfit", "ssl", "ssb"],
    "reconstruction/3": ["diff_pruning", "prefix_tuning", "prompt_tuning", "p_tuning"],
    "extension": ["lora", "adalora", "trilora", "flora_core", "vera", "lotr", "bottleneck", "loretta_adapter"],
    "combination": ["dora", "spectral_adapter", "svdiff"],
}
GENERAL = {"bottleneck": "additive", "bitfit": "selective", "lora": "reparameterised", "hybrid": "hybrid"}


def test_methods_stand_where_the_survey_puts_them():
    found = {place: [name for name in names if tag(build(name)).subspace == place] for place, names in SURVEY.items()}
    assert found == SURVEY
    assert {name: tag(build(name)).general for name in GENERAL} == GENERAL


def test_tags_name_parametrizations_that_exist():
    assert set(TAGS) <= set(PARAMETRIZATIONS)


def test_training_whole_weights_has_no_place():
    whole = [card.name for card in catalogue() if tag(card.build()).subspace == "-"]
    assert whole == ["full", "galore", "flora_gc"]


@pytest.mark.parametrize("name", ["svdiff", "full"])
def test_the_command_shows_it(name, capsys):
    assert main(["methods", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert main(["methods", name, "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    expected = tag(build(name))
    for found in (one, listed[name]):
        assert (found["taxonomy"], found["class"]) == (expected.subspace, expected.general)
