"""What a person is told: a summary of a run's events, the ranks of its update, the group of methods."""

from __future__ import annotations

import json

import pytest
import torch

from rankwise.cli.main import main
from rankwise.engine import train
from rankwise.engine.evaluation.spectrum import effective_rank, numerical_rank, spectrum
from rankwise.engine.events.summary import effect, line, summarize
from rankwise.methods import catalogue
from rankwise.studies.presets.method_groups import methods_named
from rankwise.studies.presets.resolve import resolve_study

from .runs import begin, spec, wide_base


def test_a_summary_counts_firings_and_says_what_the_last_one_did():
    measured = {"ranks_before": {"a": 4, "b": 4}, "ranks_after": {"a": 3, "b": 4}}
    measured |= {
        "probe_loss_before": 1.0,
        "probe_loss_after": 1.25,
        "update_norm_before": 2.0,
        "update_norm_after": 2.0,
    }
    events = [
        {"event": "x", "step": 2, "moment": "after_step", "kept": 7} | measured,
        {"event": "x", "step": 3, "moment": "after_step", "held": 7},
        {"event": "x", "step": 4, "moment": "after_step", "held": 7},
    ]
    one, two = summarize(events)
    assert line(one) == "x: once, step 2; last: kept 7; mean rank 4 to 3.5; loss 1 to 1.25; norm 2"
    assert line(two) == "x: 2 times, steps 3 to 4; last: held 7"
    assert effect({"event": "x", "step": 1, "moment": "at_end", "selection": {"1": 0.5, "2": 0.25}}) == (
        "selection 1: 0.5, 2: 0.25"
    )


def test_effective_rank_of_known_spectra():
    assert effective_rank(torch.ones(5)) == pytest.approx(5)
    assert effective_rank(torch.tensor([3.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(torch.zeros(3)) == 0
    assert effective_rank(torch.tensor([3.0, 1.0])) == pytest.approx(4 / 3**0.75)
    assert numerical_rank(torch.tensor([1.0, 1e-3, 1e-9]), 10) == 2


@pytest.mark.parametrize("name", ["relora", "adalora", "delta_lora", "dylora", "galore"])
def test_the_thin_spectrum_is_that_of_the_dense_update(name, tiny_splits):
    base = wide_base()
    r = begin(base, tiny_splits, spec(name, steps=3))
    try:
        for _ in range(3):
            r.train_step()
        found = spectrum(r.trainee, base.model)
        assert set(found) == set(r.trainee.handle.layers)
        for path, own in found.items():
            dense = r.trainee.handle.delta(path)
            if r.trainee.private:
                dense = dense + r.trainee.private.masters[path] - base.model.get_submodule(path).weight
            values = torch.linalg.svdvals(dense.detach())
            assert own["effective"] == pytest.approx(effective_rank(values), rel=1e-6)
            assert own["rank"] == numerical_rank(values, max(dense.shape))
    finally:
        r.close()


def test_a_run_measures_its_update_when_asked(tiny_base, tiny_splits):
    plain, asked = (train(tiny_base, spec("cola", rank=2), tiny_splits, spectrum=s) for s in (False, True))
    assert plain.spectrum is None
    assert {own["rank"] for own in asked.spectrum.values()} == {6}
    assert plain.losses == asked.losses


LONGER = [pytest.param(name, marks=pytest.mark.slow) for name in ("adalora", "xgblora", "flora_gc")]


@pytest.mark.parametrize("method", ["relora", "galore", *LONGER])
def test_train_says_what_its_events_did(method, tmp_path, capsys):
    command = ["train", "--method", method, "--scale", "smoke", "--steps", "17", "--out", str(tmp_path / "run")]
    command += ["--set", "sizes.train=16", "--set", "sizes.selection=4", "--set", "sizes.test=4"]
    assert main(command) == 0
    out = capsys.readouterr().out
    name = {"adalora": "rank-allocator", "relora": "merge-and-restart", "xgblora": "boosting"}
    name = name.get(method, method.removesuffix("_gc"))
    assert f"event {name}: " in out
    assert "total update: rank " in out
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {entry["event"] for entry in found["events"]} == {name}
    assert found["update"]["layers"] == 14
    logged = [json.loads(text) for path in (tmp_path / "run").rglob("metrics.jsonl") for text in path.open()]
    assert sum(entry["count"] for entry in found["events"]) == sum(r.get("event") == name for r in logged)


def test_dynamics_is_lora_and_every_method_with_events_or_a_step_of_its_own():
    names = methods_named("dynamics")
    acting = {card.name for card in catalogue() if card.axes.get("events") or card.axes.get("optimizer")}
    assert names[0] == "lora"
    assert set(names[1:]) == acting
    assert {"adalora", "relora", "sora", "dylora", "delta_lora", "xgblora", "galore", "flora_gc"} <= acting
    assert resolve_study("methods", "quick", {"methods": ["dynamics"]}).steps == 16


@pytest.mark.slow
def test_a_survey_of_dynamics_reports_ranks_over_time_and_of_the_update(tmp_path, monkeypatch, capsys):
    from rankwise.studies.presets import method_groups

    monkeypatch.setitem(method_groups.GROUPS, "dynamics", lambda: ("lora", "relora", "prilora"))
    command = ["study", "methods", "--scale", "smoke", "--methods", "dynamics", "--out", str(tmp_path / "s")]
    command += ["--set", "sizes.train=16", "--set", "sizes.selection=4", "--set", "sizes.test=4"]
    assert main(command) == 0
    results = json.loads((tmp_path / "s" / "results.json").read_text())["results"]
    arms = {arm["method"]: arm for arm in results["arms"]}
    assert [own["step"] for own in arms["relora"]["dynamics"]["ranks"]] == [0, 4, 8, 12]
    assert arms["relora"]["dynamics"]["ranks"][-1]["layers"] == [16, 16]
    assert arms["relora"]["dynamics"]["update"]["rank"]["mean"] == 16
    assert arms["prilora"]["dynamics"]["ranks"][0]["layers"] == [2, 6]
    assert arms["lora"]["dynamics"]["update"]["rank"]["mean"] == 4
    assert "dynamics" not in arms["full"]
    assert {"ranks.png", "update-ranks.png"} <= {path.name for path in (tmp_path / "s" / "figures").iterdir()}
    page = (tmp_path / "s" / "report.html").read_text()
    assert "Rank per layer over training" in page
    assert "Effective rank of the total update" in page
