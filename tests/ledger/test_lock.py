import os
import signal

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
        assert f"pid {holder.pid})" in str(caught.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with StudyLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


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
