"""Studies side by side: the difference from the ledgers, and a refusal with its reason where there is none."""

import json
import shutil

import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.files import write_json
from rankwise.ledger.store import Ledger
from rankwise.studies.cells import run_cells, split_cells
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.compare import compare
from rankwise.studies.study import run_study

TINY = {
    "methods": ["lora-r1"],
    "steps": 4,
    "eval_every": 2,
    "sizes": {"train": 16, "selection": 4, "test": 8},
    "learning_rates": {"full": [3e-3], "lora-r1": [1e-2]},
    "widen": 0,
}


def config(**changes):
    return resolve_study("without-regret", "smoke", {**TINY, **changes})


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    for name, changes in {
        "a": {},
        "long": {"steps": 12},
        "more": {"sizes": {**TINY["sizes"], "train": 24}, "fresh_seeds": [1]},
        "other": {"data": "code-book"},
        "wide": {"dtype": "bfloat16", "fresh_seeds": [1]},
    }.items():
        document = run_study(config(**changes), root / name)
        for arm in document["results"]["arms"]:  # as if worse rates had been tried on both sides
            arm["bracketed"] = True
        write_json(root / name / "results.json", document)
    return root


def test_the_difference_is_that_of_the_per_example_scores(studies):
    found = compare([studies / "a", studies / "long"])
    (cell,) = found["cells"]
    assert cell["not_comparable"] == [None]
    assert [row["setting"] for row in cell["settings"]] == ["steps"]
    assert cell["settings"][0]["values"] == ["4", "12"]
    by_hand = {}
    for name in ("a", "long"):
        with Ledger(studies / name, read_only=True) as ledger:
            tests = [r.result["test"] for r in ledger.runs() if r.label.startswith("lora-r1") and r.spec.get("test")]
        assert len(tests) == 3
        by_hand[name] = np.sum([t["nll"] for t in tests]) / np.sum([t["targets"] for t in tests])
    (arm,) = [arm for arm in cell["arms"] if arm["name"] == "lora-r1"]
    (difference,) = arm["differences"]
    assert difference["estimate"] == pytest.approx(by_hand["long"] - by_hand["a"], rel=1e-9)
    assert difference["low"] < difference["estimate"] < difference["high"]
    assert difference["seeds"] == "paired"
    assert difference["estimate"] < 0, "three times the steps help this model"
    assert difference["word"] == ("lower" if difference["p"] <= 0.05 else "no difference shown")
    json.dumps(found, allow_nan=False)


def test_a_study_against_itself_differs_by_nothing(studies):
    (cell,) = compare([studies / "a", studies / "a"])["cells"]
    for arm in cell["arms"]:
        assert arm["differences"][0]["estimate"] == 0
        assert arm["differences"][0]["word"] == "no difference shown"
    assert cell["settings"] == []


@pytest.mark.parametrize("side", ["a", "more"])
def test_there_is_no_word_where_a_best_rate_is_at_the_edge_of_its_grid(side, studies, tmp_path):
    plain = compare([studies / "a", studies / "more"])["cells"][0]["arms"]
    shutil.copytree(studies / side, tmp_path / side)
    document = json.loads((tmp_path / side / "results.json").read_text())
    document["results"]["arms"][1]["bracketed"] = False
    write_json(tmp_path / side / "results.json", document)
    places = {name: studies / name for name in ("a", "more")} | {side: tmp_path / side}
    found = compare(list(places.values()))["cells"][0]["arms"]
    assert found[1]["differences"][0] == plain[1]["differences"][0] | {"word": "no verdict"}
    assert found[0] == plain[0]


def test_other_training_examples_are_comparable_when_the_test_examples_are_the_same(studies):
    a, more = (json.loads((studies / name / "results.json").read_text())["results"]["cell"] for name in ("a", "more"))
    assert a["data_fingerprint"] != more["data_fingerprint"]
    (cell,) = compare([studies / "a", studies / "more"])["cells"]
    assert cell["not_comparable"] == [None]


@pytest.mark.parametrize(("other", "reason"), [("other", "other test examples: "), ("wide", "another base: ")])
def test_what_cannot_be_compared_is_shown_with_the_reason(studies, other, reason):
    (cell,) = compare([studies / "a", studies / other, studies / "long"])["cells"]
    assert cell["not_comparable"][0].startswith(reason)
    assert cell["not_comparable"][1] is None
    for arm in cell["arms"]:
        assert arm["differences"][0] is None
        assert arm["sides"][1]["test_nll"] is not None


def test_folders_of_several_cells_are_matched_by_model_and_data(studies, tmp_path):
    cells = split_cells(["tiny"], ["word-problems", "code-book"])
    run_cells(config(), cells, tmp_path / "m", progress=Progress(), command="x")
    found = compare([tmp_path / "m", studies / "other"])
    assert [cell["cell"] for cell in found["cells"]] == ["tiny--code-book"]
    assert found["cells"][0]["arms"][0]["differences"][0]["estimate"] == 0


def test_bad_folders_are_refused(studies, tmp_path):
    with pytest.raises(UsageError, match="at least two"):
        compare([studies / "a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no finished study"):
        compare([studies / "a", tmp_path / "empty"])
    write_json(tmp_path / "none" / "cells.json", {"cells": []})
    with pytest.raises(UsageError, match="share no cell"):
        compare([studies / "a", tmp_path / "none"])
