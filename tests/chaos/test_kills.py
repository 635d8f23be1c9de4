"""Killed at its write events, a verb leaves nothing that the next run of any verb does not clear away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rankwise import files
from rankwise.files import new_folder, replacing, sweep, temporary_beside, write_text

ROOT = Path(__file__).parents[2]


def kill(scratch, most, *verbs):
    """Return what :mod:`tests.chaos.killed` reports; ``most`` 0 tries every event."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.chaos.killed", str(scratch / "k"), str(most), *verbs]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_few_kills_of_an_export(tmp_path):
    (report,) = kill(tmp_path, 2, "export")
    assert report["events"] > 20
    assert report["tried"] == 2
    assert report["wrong"] == {}


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize(
    "verb",
    ["export", "export gguf", "merge", "compress", "train", "train full", "report", "ledger export", "chain", "study"],
)
def test_a_kill_at_every_write_event(verb, tmp_path):
    (report,) = kill(tmp_path, 0, verb)
    assert report["tried"] == report["events"] > 10
    assert report["wrong"] == {}


@pytest.fixture(autouse=True)
def _nothing_swept():
    files._swept.clear()


@pytest.fixture(scope="module")
def gone():
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def left(out, pid, started=None, machine=None, *, folder=False):
    """What a process ``pid`` leaves when it dies while it writes ``out``."""
    own = temporary_beside(out).name.split("rw-")[1].split("-")
    found = out.with_name(f".{out.name}.rw-{machine or own[0]}-{pid}-{started or own[2]}-0123abcd.tmp")
    if folder:
        found.mkdir()
        (found / "model.safetensors").write_bytes(b"half")
    else:
        found.write_bytes(b"half")
    return found


def age(path, days):
    then = time.time() - days * 86400
    for place in (*path.rglob("*"), path) if path.is_dir() else (path,):
        os.utime(place, (then, then))


@pytest.mark.parametrize("folder", [False, True])
def test_what_the_dead_left_is_removed_and_what_the_living_write_stays(gone, tmp_path, folder):
    mine = left(tmp_path / "out", os.getpid(), folder=folder)
    dead = left(tmp_path / "out", gone, folder=folder)
    other = left(tmp_path / "another-output", gone, folder=folder)
    reborn = left(tmp_path / "out", os.getpid(), started="1", folder=folder)  # the number was given again
    far = left(tmp_path / "out", gone, machine="ffffffff", folder=folder)
    far_and_old = left(tmp_path / "b", gone, machine="ffffffff", folder=folder)
    age(far_and_old, 2)
    theirs = tmp_path / ".out.notours.tmp"
    theirs.write_text("somebody's")
    assert set(sweep(tmp_path / "out")) == {dead, other, reborn, far_and_old}
    assert {p for p in tmp_path.iterdir()} == {mine, far, theirs}


def test_what_an_earlier_rankwise_left_of_this_output_is_removed_after_a_day(tmp_path):
    old, young, foreign = (tmp_path / name for name in (".out.ab12cd_x.tmp", ".out.zz12cd_x.tmp", ".else.ab12cd_x.tmp"))
    for path in (old, young, foreign):
        path.mkdir()
    age(old, 2)
    age(foreign, 2)
    assert sweep(tmp_path / "out") == [old]


def test_every_writer_sweeps_first(gone, tmp_path):
    for write in (lambda out: write_text(out, "x"), lambda out: new_folder(out).__enter__(), _replace):
        files._swept.clear()
        dead = left(tmp_path / "before", gone, folder=True)
        write(tmp_path / f"out-{time.monotonic_ns()}")
        assert not dead.exists()


def _replace(out):
    with replacing(out):
        pass


def test_a_link_among_them_is_removed_and_what_it_points_to_stays(gone, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.tex").write_text("")
    dead = left(tmp_path / "out", gone)
    dead.unlink()
    dead.symlink_to(kept)
    assert sweep(tmp_path / "out") == [dead]
    assert (kept / "thesis.tex").exists()


def test_a_name_as_long_as_names_can_be_still_is_written(tmp_path):
    out = tmp_path / ("ữ" * 85)
    write_text(out, "x")
    assert out.read_text() == "x"
