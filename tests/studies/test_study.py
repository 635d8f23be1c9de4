"""A small study end to end: decisions, documents, resuming, extending."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rankwise.adapters import load
from rankwise.engine import TrainSpec
from rankwise.errors import RunError, UsageError
from rankwise.methods import lora
from rankwise.models import load_base
from rankwise.studies.config import parse_config
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.measure import measure
from rankwise.studies.running.setup import check_arms
from rankwise.studies.study import run_study

from .tools import Recorder

SMALL = {
    "search": "grid",
    "refine": None,
    "methods": ["lora-r4", "lora-r1"],
    "steps": 6,
    "eval_every": 2,
    "sizes": {"train": 24, "selection": 6, "test": 10},
    "fresh_seeds": [1, 2, 3],
    "learning_rates": {"full": [1e-3, 3e-3, 0.1], "lora-r1": [3e-3, 1e-2], "lora-r4": [3e-3, 1e-2]},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "s"
    progress = Recorder()
    document = run_study(resolve_study("without-regret", "smoke", SMALL), out, progress=progress)
    return out, document, progress


def test_every_decision_is_written_down(finished):
    _, document, progress = finished
    results = document["results"]
    arms = {arm["name"]: arm for arm in results["arms"]}
    assert list(arms) == ["full", "lora-r1", "lora-r4"]
    assert arms["full"]["bracketed"], "3e-3 between 1e-3 and a rate that is far too large"
    for arm in arms.values():
        assert len(arm["fresh"]) == 3
        assert {run["lr"] for run in arm["fresh"]} == {arm["best_lr"]}
        scores = [r["selection_nll"] for r in arm["learning_rates"] if r["selection_nll"] is not None]
        best = next(r for r in arm["learning_rates"] if r["lr"] == arm["best_lr"])
        assert best["selection_nll"] == min(scores)
        assert [step for step, _ in arm["best_of_sweep"]] == [2, 4, 6]
    widened = [arm for arm in arms.values() if arm["widened"]]
    assert len(progress.runs) == 7 + len(widened) + 9
    words = {arm["verdict"]["word"] for arm in arms.values()}
    assert words <= {"reference", "matches or beats", "falls short", "undecided", "no verdict"}
    assert arms["full"]["test_nll"] < results["base"]["test_nll"]
    assert results["faults"] == []
    json.dumps(document, allow_nan=False)


def test_costs_are_ratios_to_the_reference(finished):
    arms = finished[1]["cost"]["arms"]
    assert arms["full"]["flops_ratio"] == 1
    assert arms["lora-r1"]["flops_ratio"] < arms["lora-r4"]["flops_ratio"]
    assert arms["lora-r1"]["trainable_ratio"] < 0.05
    assert arms["lora-r1"]["peak_memory_bytes"] is None, "smoke measures nothing"


def test_an_arm_is_measured_alone_in_a_fresh_process(tiny_splits, model_folder, monkeypatch):
    """Started where the study runs: a relative model is the same folder, and no file there stands in for a module.

    The peak is the child's own: getrusage's maximum survives fork and exec, and a large parent (the ballast) would make
    every arm look equally large.
    """
    ballast = torch.ones(500_000_000, dtype=torch.uint8)  # in this process only
    monkeypatch.chdir(model_folder.parent)
    Path("random.py").write_text("raise SystemExit('the wrong random')", encoding="utf-8")
    spec = TrainSpec(lora(rank=2), lr=1e-3, steps=50, batch=4)
    found = measure("./model", "float32", spec, tiny_splits.train[:8], threads=1)
    assert 0 < found["seconds_per_step"] < 60
    assert found["peak_memory_bytes"] >= found["base_memory_bytes"] > 1e7
    if Path("/proc/self/status").exists():  # Linux's own account
        own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        assert found["base_memory_bytes"] < own - 0.6 * ballast.numel()


def test_a_failed_measurement_says_why(tiny_splits):
    spec = TrainSpec(lora(rank=2), lr=1e-3, steps=50, batch=4)
    with pytest.raises(RunError, match="unknown model"):
        measure("no-such-model", "float32", spec, tiny_splits.train[:8], threads=1)


def test_a_measurement_that_does_not_answer_is_stopped_and_named(tiny_splits, monkeypatch):
    started = []

    class Started(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], **options)
            started.append(self)

    monkeypatch.setattr("rankwise.studies.results.measure.subprocess.Popen", Started)
    monkeypatch.setattr("rankwise.studies.results.measure.PATIENCE", 0.2)
    spec = TrainSpec(lora(rank=1), lr=1e-3, steps=4, batch=2)
    with pytest.raises(RunError, match=r"\(pid \d+\) has not answered for 0 s and was stopped") as caught:
        measure("tiny", "float32", spec, tiny_splits.train[:8], threads=1)
    assert f"pid {started[0].pid}" in str(caught.value)
    assert started[0].returncode == -9


def test_a_failed_measurement_is_a_fault_of_the_study(finished, tmp_path, monkeypatch):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)

    def fails(*args, **kwargs):
        raise RunError("time and memory were not measured: killed by signal 9")

    monkeypatch.setattr("rankwise.studies.results.costs.measure", fails)
    found = run_study(resolve_study("without-regret", "smoke", {**SMALL, "measure": True}), out)["results"]["faults"]
    assert {fault["run"] for fault in found} == {"full alone", "lora-r1 alone", "lora-r4 alone"}
    assert {fault["reason"] for fault in found} == {"time and memory were not measured: killed by signal 9"}


def test_the_best_adapter_is_kept_and_scores_as_reported(finished):
    out, document, _ = finished
    card = (out / "best" / "README.md").read_text()
    assert document["results"]["cell"]["base_fingerprint"][:16] in card
    base = load_base("tiny", dtype=torch.float32)
    handle = load(base.model, out / "best", base_fingerprint=base.fingerprint)
    assert all(torch.isfinite(p).all() for p in handle.trainable().values())


def test_repeating_changes_nothing_and_trains_nothing(finished):
    out, document, _ = finished
    progress = Recorder()
    again = run_study(resolve_study("without-regret", "smoke", SMALL), out, progress=progress)
    assert json.dumps(again["results"]) == json.dumps(document["results"])
    assert progress.runs == []
    (note,) = (note for note in progress.notes if note.startswith("resumed: "))
    assert note.endswith("done, none to go")


def test_one_planned_look_has_no_second_and_another_setting_is_refused(finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    with pytest.raises(UsageError, match=r"planned one look, at 3 fresh seeds, and took it.* --until decided"):
        run_study(resolve_study("without-regret", "smoke", {**SMALL, "fresh_seeds": [1, 2, 3, 4]}), out)
    with pytest.raises(UsageError, match="steps"):
        run_study(resolve_study("without-regret", "smoke", {**SMALL, "steps": 7}), out)


def test_more_arms_and_rates_extend(finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    rates = {**SMALL["learning_rates"], "olora-r4": [3e-3, 1e-2], "lora-r1": [1e-3, 3e-3, 1e-2]}
    more = {**SMALL, "methods": ["lora-r4", "lora-r1", "olora"], "learning_rates": rates}
    progress = Recorder()
    run_study(resolve_study("without-regret", "smoke", more), out, progress=progress)
    screened = [label for label in progress.runs if "seed=0" in label]
    assert "lora-r1 lr=0.001 seed=0" in screened
    assert {label for label in screened if label.startswith("olora")} >= {"olora-r4 lr=0.003 seed=0"}
    assert not any(label.startswith("full") and "seed=0" in label for label in progress.runs)


def test_an_arm_the_model_cannot_take_is_refused_before_anything_runs(tmp_path):
    values = resolve_study("methods", "smoke").to_dict()
    for arm in values["arms"]:
        if arm["method"] == "olora":
            arm["options"]["rank"] = 64
    with pytest.raises(UsageError, match=r"arm olora-r4: .*rank <= min"):
        run_study(parse_config(values), tmp_path / "s")


def test_a_rank_above_a_layers_smaller_side_gets_one_note(tiny_base):
    config = resolve_study("rank", "smoke", {"methods": ["lora-r16"]})
    values = config.to_dict()
    values["arms"][1]["options"]["rank"] = 100
    progress = Recorder()
    check_arms(parse_config(values), tiny_base, progress)
    assert len(progress.notes) == 1
    assert "rank 100 is above the smaller side" in progress.notes[0]


def test_a_study_where_every_reference_run_diverges_says_so(tmp_path):
    rates = {"full": [1e30, 3e30], "lora-r1": [3e-3, 1e-2]}
    changes = {**SMALL, "methods": ["lora-r1"], "learning_rates": rates, "clip": 0.0}
    document = run_study(resolve_study("without-regret", "smoke", changes), tmp_path / "s")
    verdict = document["results"]["verdict"]
    assert verdict["recommended"] is None
    assert verdict["headline"].startswith("No verdict")
    assert any("diverged" in trap for trap in document["results"]["traps"])
