import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.errors import UsageError
from rankwise.models.cache import cache_folder, read_entry, write_entry


def fill(folder: Path):
    (folder / "weights").write_bytes(bytes(1000))
    (folder / "config.json").write_text("{}")
    return {"answer": 42}


def never(folder: Path):
    pytest.fail("the cache was filled again")


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RANKWISE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "rankwise"
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache_folder() == Path("/shared/rankwise")
    monkeypatch.setenv("RANKWISE_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


def test_written_once_and_read_back(tmp_path):
    entry = tmp_path / "cache" / "m"
    assert read_entry(entry) is None
    assert write_entry(entry, fill) == read_entry(entry) == {"answer": 42}
    assert write_entry(entry, never) == {"answer": 42}
    assert (entry / "weights").stat().st_mode & 0o777 == 0o644
    (entry / ".DS_Store").write_text("")
    assert read_entry(entry) == {"answer": 42}


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "weights").write_bytes(bytes(999)),
        lambda entry: (entry / "weights").write_bytes(bytes(999) + b"\1"),
        lambda entry: (entry / "weights").unlink(),
        lambda entry: (entry / "manifest.json").unlink(),
        lambda entry: (entry / "manifest.json").write_text('{"files": {"weights"'),
        lambda entry: (entry / "manifest.json").write_text('{"files": 3, "facts": 1}'),
        lambda entry: (entry / "adapter_config.json").write_text("{}"),
    ],
)
def test_any_damage_is_seen_and_repaired(tmp_path, damage):
    entry = tmp_path / "m"
    write_entry(entry, fill)
    damage(entry)
    assert read_entry(entry) is None
    assert write_entry(entry, fill) == read_entry(entry) == {"answer": 42}


def test_a_failed_fill_leaves_nothing_and_a_killed_one_is_swept(tmp_path):
    def fail(folder):
        fill(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match=r"No space left on device; .*RANKWISE_CACHE"):
        write_entry(tmp_path / "m", fail)
    (tmp_path / ".m.killed.tmp").mkdir()
    write_entry(tmp_path / "m", fill)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.lock", "m"]


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="set RANKWISE_CACHE"):
        write_entry(tmp_path / "file" / "m", fill)


RACE = """
import sys, time
from pathlib import Path
from rankwise.models.cache import read_entry, write_entry
def fill(folder):
    with open(sys.argv[1] + ".count", "a") as file:
        file.write("filled ")
    (folder / "weights").write_bytes(bytes(1000))
    time.sleep(0.3)
    return {"by": sys.argv[2]}
facts = write_entry(Path(sys.argv[1]), fill)
assert facts == read_entry(Path(sys.argv[1]))
"""


def test_of_racing_processes_one_fills(tmp_path):
    entry = tmp_path / "m"
    racers = [subprocess.Popen([sys.executable, "-c", RACE, entry, str(n)]) for n in range(3)]
    assert [racer.wait() for racer in racers] == [0, 0, 0]
    assert Path(f"{entry}.count").read_text() == "filled "


def test_who_fills_the_cache_and_does_not_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("rankwise.models.cache.PATIENCE", 0.1)

    def asks_again(folder):
        with pytest.raises(
            UsageError, match=rf"held by another process \(pid {os.getpid()}, for 0 s\), for longer than"
        ):
            write_entry(tmp_path / "m", never)
        return fill(folder)

    assert write_entry(tmp_path / "m", asks_again) == {"answer": 42}
