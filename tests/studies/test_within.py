"""A study with a budget, end to end on the tiny model."""

import json

import pytest

from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.store import Ledger
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.study import run_study

from .tools import Recorder

SMALL = {
    "methods": ["lora-r1"],
    "steps": 2,
    "eval_every": 1,
    "sizes": {"train": 16, "selection": 3, "test": 4},
    "learning_rates": {"full": [3e-3, 1e-2, 3e-2], "lora-r1": [3e-3, 1e-2, 3e-2]},
    "fresh_seeds": [1, 2],
}


def config(seconds, **changes):
    return resolve_study("without-regret", "smoke", {**SMALL, **changes, "budget": {"seconds": seconds}})


def test_time_left_becomes_seeds_and_the_same_command_changes_nothing(tmp_path):
    asked, progress = config(36000.0), Recorder()
    document = run_study(asked, tmp_path / "s", progress=progress)
    results = document["results"]
    assert results["study"]["fresh_seeds"] == list(range(1, 13))
    assert results["study"]["budget"] == {"seconds": 36000.0, "changes": ["12 fresh seeds instead of 2"]}
    assert all(len(arm["fresh"]) == 12 for arm in results["arms"])
    stored = StudyFolder(tmp_path / "s").read_config()
    assert stored["budget"]["asked"] == {"fresh_seeds": [1, 2]}
    assert len([label for label in progress.runs if label.endswith("seed=5")]) == 2
    with Ledger(tmp_path / "s", read_only=True) as ledger:
        looks = [run.spec["look"]["seeds"] for run in ledger.runs() if run.label == "look"]
    assert looks == [list(range(1, 13))], "one look, at the plan that was carried out"
    again = Recorder()
    repeated = run_study(asked, tmp_path / "s", progress=again)
    assert again.runs == []
    assert json.dumps(repeated["results"]) == json.dumps(results)


def test_a_budget_too_short_for_any_verdict_says_how_long_it_takes(tmp_path):
    with pytest.raises(UsageError, match="takes about"):
        run_study(config(0.5), tmp_path / "s")
    document = run_study(config(60.0, fresh_seeds=[1]), tmp_path / "s")
    assert document["results"]["study"]["budget"]["seconds"] == 60.0


def test_the_command_line_reads_it(tmp_path, capsys):
    assert main(["study", "smoke", "--budget", "soon", "--out", str(tmp_path / "s")]) == 2
    assert "needs a time such as 20m" in capsys.readouterr().err
    assert main(["study", "smoke", "--budget", "20m", "--dry-run", "--out", str(tmp_path / "s")]) == 0
    assert "leaves out what does not fit into 20m" in " ".join(capsys.readouterr().out.split())
