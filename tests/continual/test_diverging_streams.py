"""What a learning rate that is far too high leaves behind: a record that can be written, and the runs that did end."""

import json

import pytest

from rankwise.continual.chain import run_chain
from rankwise.continual.event_config import resolve_events
from rankwise.continual.event_study import run_events
from rankwise.engine.finite import finite
from rankwise.errors import RunError
from rankwise.ledger.store import Ledger
from rankwise.report import write_report

from .conftest import TASKS, stream

BURNS = {"kind": "qr", "every": 1}


def test_what_is_not_finite_is_nothing():
    assert finite({"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": ("x", True, 3)}) == {
        "a": [1.5, None],
        "b": {"c": None},
        "d": ["x", True, 3],
    }


def test_an_event_in_a_diverging_run_is_recorded(tmp_path):
    with pytest.raises(RunError, match="no chain came to its end; the first stopped at en: .*stopped being finite"):
        run_chain(stream(tasks=TASKS[:2], lr=1e30, event=BURNS), tmp_path / "out")
    with Ledger(tmp_path / "out", read_only=True) as ledger:
        (run,) = [run for run in ledger.runs() if run.status == "diverged"]
    event = run.result["events"][0]
    assert event["event"] == "orthogonalize"
    assert event["bf16_probe_loss_before"] is None


def test_a_study_of_events_that_diverges_has_a_page(tmp_path):
    arms = {"arms": ["none", "qr", "row-norm", "qr-fold"], "learning_rates": [1e30], "every": [1], "held_out": 4}
    document = run_events(resolve_events("smoke", {**arms, "duplications": [1]}), tmp_path / "out")
    assert {entry["diverged"] for entry in document["results"]["arms"]} == {1}
    write_report(document, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Orthogonalized 14 modules; loss " in html
    json.dumps(document["results"], allow_nan=False)
