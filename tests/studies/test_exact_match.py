"""Exact match through a whole study: asked for, stored, resumed, compared; absent when it is not asked for."""

import json
import shutil

import pytest

from rankwise.engine import Quiz
from rankwise.ledger.store import Ledger
from rankwise.methods import lora
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.exact_match import exact_match
from rankwise.studies.running.single import run_single
from rankwise.studies.running.single_config import single_config
from rankwise.studies.study import run_study

from .test_study import SMALL, Recorder

ASKED = {**SMALL, "methods": ["lora-r1"], "exact_match": 4, "fresh_seeds": [1, 2]}
ASKED["learning_rates"] = {"full": [1e-3, 3e-3, 0.1], "lora-r1": [3e-3, 1e-2]}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    out = tmp_path_factory.mktemp("asked") / "s"
    return out, run_study(resolve_study("without-regret", "smoke", ASKED), out)


def test_answers_are_stored_per_question_and_compared(asked):
    out, document = asked
    found = document["results"]["exact_match"]
    assert found["questions"] == 4
    assert [arm["arm"] for arm in found["arms"]] == ["full", "lora-r1"]
    assert found["floor"], "a random model that trained for six steps answers nothing"
    assert "Accuracy is at the floor" in found["note"]
    assert "says nothing" in found["arms"][1]["sentence"]
    with Ledger(out, read_only=True) as ledger:
        runs = ledger.runs()
    fresh = [run for run in runs if run.spec.get("test")]
    assert len(fresh) == 4
    assert all(len(run.result["right"]) == 4 and run.spec["exact_match"] == 4 for run in fresh)
    assert all(run.result["right"] is None for run in runs if run.spec.get("test") is False)
    assert [len(run.result["right"]) for run in runs if run.label == "base" and "exact_match" in run.spec] == [4]


def test_a_repeated_study_asks_nothing_again(asked, monkeypatch):
    out, document = asked
    monkeypatch.setattr(Quiz, "take", lambda *_: pytest.fail("asked again"))
    again = run_study(resolve_study("without-regret", "smoke", ASKED), out)
    assert json.dumps(again["results"]) == json.dumps(document["results"])


def test_a_folder_from_before_the_setting_goes_on_without_training(asked, tmp_path):
    out = tmp_path / "s"
    plain = resolve_study("without-regret", "smoke", {**ASKED, "exact_match": 0})
    document = run_study(plain, out)
    assert document["results"]["exact_match"] is None
    study = (out / "study.yaml").read_text()
    (out / "study.yaml").write_text("".join(line for line in study.splitlines(True) if "exact_match" not in line))
    progress = Recorder()
    run_study(plain, out, progress=progress)
    assert progress.runs == []
    shutil.rmtree(out)


def test_one_run_reports_it_too(tmp_path):
    changes = {"exact_match": 3, "steps": 4, "sizes": {"train": 16, "selection": 4, "test": 8}}
    config, arm = single_config(lora(rank=2), "smoke", changes, 1e-2)
    found = run_single(config, arm, tmp_path / "r").to_dict()
    assert found["exact_match"] == 0.0
    assert found["base_exact_match"] in (0.0, 1 / 3, 2 / 3, 1.0)


def test_nothing_to_ask_is_said(asked):
    config = resolve_study("without-regret", "smoke", ASKED)
    found = exact_match(config, None, None, None)
    assert found["questions"] == 0
    assert "no exact match" in found["note"]
