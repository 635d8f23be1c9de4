"""The tables hold what the ledger holds, exactly, in three formats; nothing half-written stays."""

import csv
import json
import sqlite3

import pytest

from rankwise.errors import UsageError
from rankwise.ledger import export as module
from rankwise.ledger.export import even, export
from rankwise.ledger.store import Ledger

SPEC = {"lr": 1e-3, "seed": 1, "target": {"rank": 4, "placement": {"name": "mlp"}}, "eval_steps": [2, 4], "test": True}
RESULT = {
    "curve": [[2, 0.7], [4, 0.1 + 0.2]],
    "best_step": 4,
    "trainable": 96,
    "flops": 10**15,
    "selection": {"nll": [1.0, 2.0], "targets": [2, 3]},
    "test": {"nll": [0.1, 0.2, 0.4], "targets": [1, 2, 3]},
    "test_final": None,
    "right": [True, False],
}


@pytest.fixture
def study(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.ensure("0" * 16, "base", {"base": True})
        ledger.start("0" * 16)
        ledger.finish("0" * 16, "done", {"test": RESULT["test"]}, seconds=1.0)
        ledger.ensure("1" * 16, "lora-r4 lr=0.001 seed=1", SPEC)
        ledger.start("1" * 16)
        ledger.finish("1" * 16, "done", RESULT, seconds=2.5)
        ledger.ensure("2" * 16, "lora-r4 lr=10 seed=1", {**SPEC, "lr": 10})
        ledger.start("2" * 16)
        ledger.finish("2" * 16, "failed", None, reason='quote " and\nline', seconds=0.5)
    return tmp_path


def read(path):
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_every_number_comes_back_exactly(study, form):
    runs, examples = export(study, form)
    assert (runs.name, examples.name) == (f"runs.{form}", f"runs-examples.{form}")
    base, done, failed = read(runs)
    assert (base["arm"], base["spec.base"], base["spec.lr"]) == ("base", True, None)
    assert done["spec.target.rank"] == 4
    assert done["spec.target.placement.name"] == "mlp"
    assert done["spec.eval_steps"] == "[2, 4]"
    assert (done["selection_nll"], done["test_nll"]) == (3.0 / 5, (0.1 + 0.2 + 0.4) / 6)
    assert (done["exact_match"], done["flops"], done["seconds"]) == (0.5, 10**15, 2.5)
    assert json.loads(done["curve"])[1][1] == 0.1 + 0.2
    assert (failed["status"], failed["reason"], failed["test_nll"]) == ("failed", 'quote " and\nline', None)
    assert failed["spec.lr"] == 10.0
    rows = read(examples)
    assert len(rows) == 3 + 2 + 3 + 2
    assert [r["nll"] for r in rows if r["arm"] == "lora-r4" and r["split"] == "test"] == [0.1, 0.2, 0.4]
    assert [r["right"] for r in rows if r["split"] == "exact_match"] == [True, False]


def test_csv_to_a_file_of_ones_own(study, tmp_path):
    runs, examples = export(study, "csv", tmp_path / "mine.csv")
    assert examples == tmp_path / "mine-examples.csv"
    found = read(runs)
    assert found[2]["reason"] == 'quote " and\nline'
    assert float(found[1]["test_nll"]) == (0.1 + 0.2 + 0.4) / 6


def test_a_column_of_mixed_types_becomes_text():
    rows = even([{"a": 1, "b": 2}, {"a": 2.5, "b": "x"}, {"c": True}])
    assert rows == [
        {"a": 1.0, "b": "2", "c": None},
        {"a": 2.5, "b": '"x"', "c": None},
        {"a": None, "b": None, "c": True},
    ]


def test_a_fault_while_writing_leaves_the_old_table(study, monkeypatch):
    runs, _ = export(study, "csv")
    before = runs.read_bytes()

    def torn(rows, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setitem(module.WRITERS, "csv", torn)
    with pytest.raises(OSError, match="disk full"):
        export(study, "csv")
    assert runs.read_bytes() == before
    assert not list(study.glob(".*.tmp"))


def test_what_cannot_be_exported_is_refused(study, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'parquet'"):
        export(study, "parket")
    with pytest.raises(UsageError, match="holds no ledger"):
        export(tmp_path / "nowhere", "csv")
    Ledger(tmp_path / "study" if (tmp_path / "study").mkdir() is None else tmp_path).close()
    with pytest.raises(UsageError, match="has no runs yet"):
        export(tmp_path / "study", "csv")


CELLS = [b"\xff", "5", "[]", '{"test": 5}', 7, '{"selection": {"nll": [1], "targets": []}}']


@pytest.mark.parametrize("column", ["label", "spec", "reason", "result", "seconds", "started", "finished"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_row_that_holds_something_else_is_left_out(study, column, cell):
    """Rows of an earlier rankwise have no digest, and may hold anything."""
    with sqlite3.connect(study / "ledger.sqlite") as db:
        db.execute(f"UPDATE runs SET {column} = ?, digest = 'unverified' WHERE rowid = 1", (cell,))
    db.close()
    for form in ("jsonl", "csv", "parquet"):
        runs, _ = export(study, form, study / f"t.{form}")
        assert len(read(runs)) >= 2
