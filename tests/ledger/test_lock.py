import os
import re
import signal
import time

import pytest

from rankwise.errors import UsageError
from rankwise.ledger import StudyLock

from .tools import hold


def test_a_second_process_is_refused_and_sigkill_leaves_no_lock(tmp_path):
    holder = hold(tmp_path)
    try:
        with pytest.raises(UsageError) as caught, StudyLock(tmp_path):
            pass
        assert str(tmp_path) in str(caught.value)
        assert re.search(rf"\(pid {holder.pid}, for \d+ s\)", str(caught.value))
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with StudyLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_holder_that_does_nothing_any_more_can_be_told(tmp_path):
    holder = hold(tmp_path)
    ledger = tmp_path / "runs" / "0123" / "metrics.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("")
    (tmp_path / "study.yaml").write_text("")
    for path, hours in ((tmp_path / ".lock", 5), (ledger, 3), (tmp_path / "study.yaml", 5), (tmp_path / "runs", 5)):
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    holder.send_signal(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
        with pytest.raises(UsageError) as caught, StudyLock(tmp_path):
            pass
        assert f"(pid {holder.pid}, for 5.0 h, last wrote 3.0 h ago, it is suspended: kill -CONT" in str(caught.value)
    finally:
        holder.kill()
        holder.communicate()


def test_it_excludes_inside_one_process_and_can_be_taken_again(tmp_path):
    folder = tmp_path / "new" / "study"
    with StudyLock(folder), pytest.raises(UsageError, match=f"pid {os.getpid()}"), StudyLock(folder):
        pass
    with StudyLock(folder):
        pass


def test_it_writes_nothing_into_somebody_elses_folder(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"holds thesis\.tex"), StudyLock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("what", ["a link", "a link to nothing", "a hard link", "text", "a folder", "a pipe"])
def test_a_lock_that_is_not_ours_is_refused_and_what_it_points_to_stays(tmp_path, what):
    theirs, lock = tmp_path / "thesis.tex", tmp_path / "study" / ".lock"
    lock.parent.mkdir()
    if what != "a link to nothing":
        theirs.write_text("three years of work")
    {
        "a link": lambda: lock.symlink_to(theirs),
        "a link to nothing": lambda: lock.symlink_to(theirs),
        "a hard link": lambda: lock.hardlink_to(theirs),
        "text": lambda: lock.write_text("42 is the answer\n"),
        "a folder": lock.mkdir,
        "a pipe": lambda: os.mkfifo(lock),
    }[what]()
    with pytest.raises(UsageError, match=r"\.lock is not a lock of ours|cannot write in"), StudyLock(lock.parent):
        pass
    assert theirs.exists() == (what != "a link to nothing")
    assert not theirs.exists() or theirs.read_text() == "three years of work"
