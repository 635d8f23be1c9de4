"""Runs that pause: their time adds up, and a ledger from before there were any is brought up to date."""

import sqlite3

import pytest

from rankwise.errors import RunError
from rankwise.ledger.store import _COLUMNS, Ledger

KEY = "0123456789abcdef"


def test_seconds_add_up_over_the_parts(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.ensure(KEY, "a", {"x": 1})
        ledger.start(KEY)
        ledger.finish(KEY, "paused", {"curve": [[2, 0.5]]}, seconds=2.0)
        assert ledger.get(KEY).status == "paused"
        assert ledger.get(KEY).result == {"curve": [[2, 0.5]]}
        ledger.start(KEY)
        ledger.start(KEY, restarted_at_step=2)  # as the runner does after a kill
        ledger.finish(KEY, "done", {"curve": []}, seconds=3.0)
        assert ledger.get(KEY).seconds == 5.0
        with pytest.raises(RunError):
            ledger.start(KEY)


def test_a_failed_run_starts_counting_again(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.ensure(KEY, "a", {})
        ledger.start(KEY)
        ledger.finish(KEY, "failed", None, "out of memory", seconds=9.0)
        ledger.start(KEY)
        ledger.finish(KEY, "done", {}, seconds=1.0)
        assert ledger.get(KEY).seconds == 1.0


def test_a_paused_run_is_not_an_interrupted_one(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.ensure(KEY, "a", {})
        ledger.start(KEY)
        ledger.finish(KEY, "paused", {}, seconds=1.0)
    with Ledger(tmp_path) as ledger:
        assert ledger.interrupted() == []


def test_a_ledger_of_the_first_format_is_upgraded_and_keeps_its_rows(tmp_path):
    with Ledger(tmp_path) as ledger:
        for key in (KEY, KEY[::-1]):
            ledger.ensure(key, key, {"key": key})
        ledger.start(KEY)
        ledger.finish(KEY, "done", {"nll": 0.1}, seconds=1.5)
        before = ledger.runs()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:  # back to the first format
        (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'runs'").fetchone()
        assert "'paused', " in sql
        first = sql.replace("'paused', ", "")
        db.executescript(
            f"ALTER TABLE runs RENAME TO new; {first}; "
            f"INSERT INTO runs ({_COLUMNS}) SELECT {_COLUMNS} FROM new; DROP TABLE new; PRAGMA user_version = 1;"
        )
    with Ledger(tmp_path, read_only=True) as ledger:
        assert ledger.runs() == before
    with Ledger(tmp_path) as ledger:
        assert ledger.runs() == before
        ledger.start(KEY[::-1])
        ledger.finish(KEY[::-1], "paused", {}, seconds=1.0)
        assert ledger.get(KEY[::-1]).status == "paused"
