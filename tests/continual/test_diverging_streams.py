"""What a learning rate that is far too high leaves behind: a record that can be written, and the runs that did end."""

import json
from dataclasses import replace

import pytest

from rankwise.continual.conductor import run_chain
from rankwise.engine.json_safe import finite
from rankwise.errors import RunError
from rankwise.report import write_report
from rankwise.studies.orthogonalization.config import resolve_events
from rankwise.studies.orthogonalization.study import run_events

from .conftest import TASKS, stream

BURNS = {"kind": "qr", "every": 1}


def test_what_is_not_finite_is_nothing():
    assert finite({"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": ("x", True, 3)}) == {
        "a": [1.5, None],
        "b": {"c": None},
        "d": ["x", True, 3],
    }


def test_an_event_in_a_diverging_run_is_recorded(tmp_path):
    """QR puts the factors back to length one after every step, so the loss is finite again when the next one begins."""
    document = run_chain(stream(tasks=TASKS[:2], lr=1e30, event=BURNS, references=["joint"]), tmp_path / "out")
    event = document["results"]["strategies"][0]["chains"][0]["events"][0][0]
    assert event["event"] == "orthogonalize"
    assert event["probe_loss_before"] is None
    assert event["probe_loss_after"] is not None
    write_report(document, tmp_path / "out")


def test_a_reference_that_diverges_costs_no_chain(tmp_path, monkeypatch):
    """Only the joint run gets the rate that is too high, as a mixture may be harder than any of its tasks."""
    from rankwise.continual import joint

    spec_of = joint.spec_of
    monkeypatch.setattr(joint, "spec_of", lambda config, *rest: replace(spec_of(config, *rest), lr=1e30))
    document = run_chain(stream(tasks=TASKS[:2], references=["joint"]), tmp_path / "out")
    assert document["results"]["joint"] is None
    (fault,) = document["results"]["faults"]
    assert fault["run"] == "joint, seed 0"
    assert "stopped being finite" in fault["reason"]
    assert len(document["results"]["strategies"][0]["chains"][0]["R"]["nll"]) == 3
    write_report(document, tmp_path / "out")


def test_a_fault_of_one_run_alone_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    """Whatever it raises, as in a pack; only a disk that cannot be written is everybody's."""
    from rankwise.execution import attempt

    real = attempt.train_job

    def faulty(base, job, *args, **options):
        if job.spec.steps > 4:  # the reference has the steps of both tasks
            raise ZeroDivisionError("division by zero")
        return real(base, job, *args, **options)

    monkeypatch.setattr(attempt, "train_job", faulty)
    document = run_chain(stream(tasks=TASKS[:2], steps=4, references=["joint"]), tmp_path / "out")
    (fault,) = document["results"]["faults"]
    assert fault == {"run": "joint, seed 0", "reason": "division by zero"}
    assert len(document["results"]["strategies"][0]["chains"][0]["R"]["nll"]) == 3


def test_when_nothing_ends_one_sentence_says_so(tmp_path):
    with pytest.raises(RunError, match=r"no chain came to its end; the first stopped at en: .*placement without it\.$"):
        run_chain(stream(tasks=TASKS[:2], rank=80, event=BURNS), tmp_path / "out")


def test_a_study_of_events_that_diverges_has_a_page(tmp_path):
    arms = {"arms": ["none", "qr", "row-norm", "qr-fold"], "learning_rates": [1e30], "every": [1], "held_out": 4}
    document = run_events(resolve_events("smoke", {**arms, "duplications": [1]}), tmp_path / "out")
    assert 1 in {entry["diverged"] for entry in document["results"]["arms"]}
    write_report(document, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Orthogonalized 14 modules; loss " in html
    json.dumps(document["results"], allow_nan=False)
