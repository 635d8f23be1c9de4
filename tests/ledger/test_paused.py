"""Runs that pause: their time adds up, and a ledger from before there were any is brought up to date."""

import sqlite3

import pytest

from rankwise.errors import RunError
from rankwise.ledger.rows import FACTS, UNVERIFIED
from rankwise.ledger.store import Ledger

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


def downgrade(folder, version):
    """Give a ledger the format of an earlier rankwise: 1 has no paused runs, 2 no digests."""
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'runs'").fetchone()
        old, _, rest = sql.partition(",\n  digest")
        assert rest
        assert "'paused', " in old
        old = old.replace("'paused', ", "") if version == 1 else old
        db.executescript(
            f"ALTER TABLE runs RENAME TO new; {old}); "
            f"INSERT INTO runs ({FACTS}) SELECT {FACTS} FROM new; DROP TABLE new; PRAGMA user_version = {version};"
        )


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_of_an_earlier_format_is_upgraded_and_keeps_its_rows(tmp_path, version):
    with Ledger(tmp_path) as ledger:
        for key in (KEY, KEY[::-1]):
            ledger.ensure(key, key, {"key": key})
        ledger.start(KEY)
        ledger.finish(KEY, "done", {"nll": 0.1}, seconds=1.5)
        before = ledger.runs()
    downgrade(tmp_path, version)
    with Ledger(tmp_path, read_only=True) as ledger:
        assert ledger.runs() == before
        assert ledger.notes == []
    with Ledger(tmp_path) as ledger:
        assert ledger.runs() == before
        assert ledger.notes == []
        ledger.start(KEY[::-1])
        ledger.finish(KEY[::-1], "paused", {}, seconds=1.0)
        assert ledger.get(KEY[::-1]).status == "paused"
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        digests = dict(db.execute("SELECT key, digest FROM runs"))
    assert digests[KEY] == UNVERIFIED != digests[KEY[::-1]]
