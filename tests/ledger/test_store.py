import math
import random
import sqlite3

import pytest

from rankwise.errors import RunError, UsageError
from rankwise.ledger import Ledger
from rankwise.ledger.repair import salvage

SPEC = {"method": "lora", "lr": 3e-3}
KEYS = [f"{n:016x}" for n in range(40)]


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path) as opened:
        yield opened


def test_a_run_from_queued_to_done(ledger):
    ledger.ensure(KEYS[0], "lora lr=3e-3", SPEC)
    queued = ledger.get(KEYS[0])
    assert (queued.label, queued.spec, queued.status) == ("lora lr=3e-3", SPEC, "queued")
    assert (queued.result, queued.started, queued.restarted_at_step) == (None, None, None)
    ledger.start(KEYS[0])
    assert ledger.get(KEYS[0]).status == "running"
    ledger.finish(KEYS[0], "done", {"nll": 0.1}, seconds=1.5)
    done = ledger.get(KEYS[0])
    assert (done.status, done.result, done.seconds, done.reason) == ("done", {"nll": 0.1}, 1.5, None)
    assert done.started <= done.finished
    assert ledger.get("f" * 16) is None


def test_results_read_back_bit_for_bit(tmp_path):
    draw = random.Random(0)
    floats = [draw.uniform(-1, 1) * 10.0 ** draw.randint(-300, 300) for _ in range(200)]
    result = {"losses": [*floats, 5e-324, -0.0], "counts": [2**62], "text": "quả táo"}
    with Ledger(tmp_path) as ledger:
        ledger.ensure(KEYS[0], "a", SPEC)
        ledger.start(KEYS[0])
        ledger.finish(KEYS[0], "done", result, seconds=0.1)
    with Ledger(tmp_path, read_only=True) as ledger:
        read = ledger.get(KEYS[0]).result
    assert read == result
    assert math.copysign(1, read["losses"][-1]) == -1


def test_order_is_the_order_of_queueing_and_ensure_is_idempotent(ledger):
    order = random.Random(1).sample(KEYS, len(KEYS))
    for key in order:
        ledger.ensure(key, key, SPEC)
    ledger.start(order[3])
    for key in KEYS:
        ledger.ensure(key, key, dict(reversed(SPEC.items())))
    assert [run.key for run in ledger.runs()] == order
    assert ledger.get(order[3]).status == "running"
    with pytest.raises(RunError, match="another spec"):
        ledger.ensure(order[0], "x", {"method": "dora"})


def test_interrupted_are_those_running_when_opened(tmp_path):
    with Ledger(tmp_path) as ledger:
        for key in KEYS[:3]:
            ledger.ensure(key, key, SPEC)
        ledger.start(KEYS[1])
        assert ledger.interrupted() == []
    with Ledger(tmp_path) as ledger:
        assert [run.key for run in ledger.interrupted()] == [KEYS[1]]
        ledger.start(KEYS[1], restarted_at_step=40)
        ledger.finish(KEYS[1], "done", {}, seconds=1)
        assert [run.key for run in ledger.interrupted()] == [KEYS[1]]
        assert ledger.get(KEYS[1]).restarted_at_step == 40
    with Ledger(tmp_path) as ledger:
        assert ledger.interrupted() == []


def test_a_failed_run_may_start_again_and_a_done_one_may_not(ledger):
    ledger.ensure(KEYS[0], "a", SPEC)
    with pytest.raises(RunError, match="is queued"):
        ledger.finish(KEYS[0], "done", {}, seconds=1)
    ledger.start(KEYS[0])
    ledger.finish(KEYS[0], "failed", None, "out of memory", seconds=1)
    assert ledger.get(KEYS[0]).reason == "out of memory"
    ledger.start(KEYS[0])
    assert ledger.get(KEYS[0]).reason is None
    ledger.finish(KEYS[0], "diverged", {"nll": None}, "loss is NaN at step 3", seconds=1)
    ledger.start(KEYS[0])
    ledger.finish(KEYS[0], "done", {"nll": 1.0}, seconds=1)
    with pytest.raises(RunError, match="is done"):
        ledger.start(KEYS[0])
    with pytest.raises(RunError, match="is done"):
        ledger.finish(KEYS[0], "failed", None, seconds=1)
    assert ledger.get(KEYS[0]).result == {"nll": 1.0}
    with pytest.raises(RunError, match="not in the ledger"):
        ledger.start(KEYS[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_result_that_is_not_a_number_is_refused_and_the_run_keeps_its_state(ledger, bad):
    ledger.ensure(KEYS[0], "a", SPEC)
    ledger.start(KEYS[0])
    for result, seconds in (({"nll": [bad]}, 1.0), ({}, bad)):
        with pytest.raises(UsageError):
            ledger.finish(KEYS[0], "done", result, seconds=seconds)
    assert ledger.get(KEYS[0]).status == "running"


def fill(folder):
    with Ledger(folder) as ledger:
        for key in KEYS:
            ledger.ensure(key, "a label", {"text": key * 40})
    return ledger.path


def test_a_truncated_ledger_is_one_clear_error(tmp_path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    assert len(whole) > 3 * 4096
    for size in (0, 1, 99, 100, 4095, 4096, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        for read_only in (False, True):
            with pytest.raises(RunError, match=r"ledger\.sqlite is damaged .* run the same command") as caught:
                Ledger(tmp_path, read_only=read_only)
            assert "\n" not in str(caught.value)
        assert path.read_bytes() == whole[:size]  # left as found
    path.write_bytes(whole)
    with Ledger(tmp_path) as ledger:
        assert len(ledger.runs()) == len(KEYS)


def test_overwritten_pages_are_one_clear_error_and_the_rest_is_exported(tmp_path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    with Ledger(tmp_path) as ledger:
        before = {run.key: run for run in ledger.runs()}
    saved = []
    for page in range(len(whole) // 4096):
        damaged = bytearray(whole)
        damaged[page * 4096 : page * 4096 + 512] = random.Random(page).randbytes(512)
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"is damaged .* rankwise ledger export .* --to csv"):
            Ledger(tmp_path, read_only=True)
        runs, _ = salvage(path)
        assert all(before[run.key] == run for run in runs)
        saved.append(len(runs))
        assert path.read_bytes() == damaged
        if len(runs) < len(before):
            with pytest.raises(RunError, match="is damaged"):
                Ledger(tmp_path)
            continue
        with Ledger(tmp_path) as ledger:  # the index only: no row is lost
            assert len(ledger.runs()) == len(before)
            assert "a damaged page" in ledger.notes[0]
        (tmp_path / "ledger.sqlite.damaged").unlink()
    assert saved[0] == 0  # the schema itself
    assert min(saved[2:]) >= len(before) // 2


CELLS = {
    "not UTF-8": "label = CAST(x'ff' AS TEXT)",
    "another label": "label = 'other'",
    "another spec": """spec = '{"n":2}'""",
    "another status": "status = 'failed'",
    "another result": """result = '{"nll":0.5}'""",
    "no JSON": "result = '{'",
    "no result": "result = NULL",
    "another time": "seconds = 9",
    "no digest": "digest = ''",
    "another key": "key = 'ffffffffffffffff'",
}


@pytest.mark.parametrize("change", CELLS.values(), ids=CELLS.keys())
def test_a_damaged_row_is_set_aside_and_its_run_can_be_made_again(tmp_path, change):
    with Ledger(tmp_path) as ledger:
        for key in KEYS[:3]:
            ledger.ensure(key, f"run {key}", SPEC)
            ledger.start(key)
            ledger.finish(key, "done", {"nll": 0.25}, seconds=1.0)
        before = ledger.runs()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute(f"UPDATE runs SET {change} WHERE key = '{KEYS[1]}'")
    rotten = ledger.path.read_bytes()
    with Ledger(tmp_path, read_only=True) as ledger:
        assert ledger.runs() == [before[0], before[2]]
        assert "1 of 3 rows are damaged and left out" in ledger.notes[0]
    assert ledger.path.read_bytes() == rotten
    with Ledger(tmp_path) as ledger:
        assert ledger.runs() == [before[0], before[2]]
        assert "had 1 damaged row" in ledger.notes[0]
        assert "kept as ledger.sqlite.damaged" in ledger.notes[0]
        ledger.ensure(KEYS[1], "run", SPEC)
        ledger.start(KEYS[1])
        ledger.finish(KEYS[1], "done", {"nll": 0.25}, seconds=1.0)
    assert (tmp_path / "ledger.sqlite.damaged").read_bytes() == rotten
    with Ledger(tmp_path) as ledger:
        assert ledger.notes == []
        assert len(ledger.runs()) == 3


def test_another_programs_database_and_a_newer_ledger_are_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cats (name)")
    with pytest.raises(RunError, match="is damaged"):
        Ledger(tmp_path)
    path.unlink()
    fill(tmp_path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(UsageError, match="newer rankwise"):
        Ledger(tmp_path)


def test_read_only_creates_and_changes_nothing(tmp_path):
    with pytest.raises(UsageError, match="holds no ledger"):
        Ledger(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path)
    with Ledger(tmp_path, read_only=True) as ledger, pytest.raises(RunError, match="cannot use"):
        ledger.start(KEYS[0])


def test_a_reader_sees_the_ledger_while_it_is_written(tmp_path):
    with Ledger(tmp_path) as writer, Ledger(tmp_path, read_only=True) as reader:
        for key in KEYS[:5]:
            writer.ensure(key, key, SPEC)
            assert reader.get(key).status == "queued"
