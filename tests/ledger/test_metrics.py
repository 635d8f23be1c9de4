import json
import math
import random

import pytest

from rankwise.ledger import MetricsLog, metrics


def test_records_come_back_by_step_with_the_last_one_winning(tmp_path):
    with MetricsLog(tmp_path / "runs" / "a") as log:
        for step in (1, 2, 2, 3):
            log.append({"step": step, "loss": step + 0.1})
        log.append({"step": 2, "loss": 9.0})
        log.append({"step": 2, "event": "eval", "nll": 1.5})
    assert list(metrics.read(log.path)) == [
        {"step": 1, "loss": 1.1},
        {"step": 2, "loss": 9.0},
        {"step": 2, "event": "eval", "nll": 1.5},
        {"step": 3, "loss": 3.1},
    ]


def test_resuming_voids_the_steps_beyond_the_checkpoint(tmp_path):
    with MetricsLog(tmp_path) as log:
        for step in range(1, 6):
            log.append({"step": step, "loss": float(step)})
    with MetricsLog(tmp_path) as log:
        log.resumed(2)
        log.append({"step": 3, "loss": 30.0})
    assert [(r["step"], r["loss"]) for r in metrics.read(log.path)] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert len(log.path.read_bytes().splitlines()) == 7  # nothing was removed


def test_a_line_torn_at_any_byte_costs_that_record_only(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.append({"step": 1, "loss": 0.1})
        log.append({"step": 2, "loss": 0.2})
    whole = log.path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        log.path.write_bytes(whole[:cut])
        with MetricsLog(tmp_path) as again:
            again.append({"step": 3, "loss": 0.3})
        kept = [1, 3] if cut < len(whole) - 1 else [1, 2, 3]  # only the line's end was torn off: still whole
        assert [record["step"] for record in metrics.read(log.path)] == kept


def test_floats_are_exact_and_a_diverged_loss_is_null(tmp_path):
    values = [random.Random(0).uniform(-1, 1) * 10.0**power for power in range(-300, 300, 25)]
    with MetricsLog(tmp_path) as log:
        log.append({"step": 0, "values": values, "loss": math.nan, "norms": [math.inf, 1.0]})
    (record,) = metrics.read(log.path)
    assert record == {"step": 0, "values": values, "loss": None, "norms": [None, 1.0]}
    json.loads(log.path.read_text(), parse_constant=pytest.fail)  # plain JSON, no NaN spelled


def test_a_missing_file_is_an_empty_curve_and_a_step_is_required(tmp_path):
    assert list(metrics.read(tmp_path / "none.jsonl")) == []
    with MetricsLog(tmp_path) as log, pytest.raises(ValueError, match="integer step"):
        log.append({"loss": 1.0})
