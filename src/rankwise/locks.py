"""Whoever holds a lock says so in its file: which process, since when, and whether it still does something."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rankwise.errors import UsageError

LOOK_AGAIN = 0.2  # seconds between two looks at a lock that is held
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def sign(handle: int) -> None:
    """Write this process's number into a lock file that it has just locked; the file's time is since when."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)


def holder(handle: int, places: Iterable[Path] = ()) -> str:
    """Say who holds a lock file.

    Args:
        places: files that the holder writes; the newest tells when it last did something.

    Returns:
        ``"pid 4242, for 3 min, last wrote 12 s ago"``; "" while the holder has not signed yet.
    """
    written = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    if not written.isdigit():
        return ""
    now = time.time()
    words = [f"pid {written}", f"for {age(now - os.fstat(handle).st_mtime)}"]
    times = []
    for place in places:
        with contextlib.suppress(OSError):
            times.append(place.stat().st_mtime)
    if times:
        words.append(f"last wrote {age(now - max(times))} ago")
    if _stopped(written, handle):
        words.append(f"it is suspended: kill -CONT {written} lets it go on")
    return ", ".join(words)


def age(seconds: float) -> str:
    """Write a time in its largest unit.

    >>> age(12.4), age(200), age(9000), age(200_000)
    ('12 s', '3 min', '2.5 h', '2.3 days')
    """
    seconds = max(seconds, 0.0)
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < _DAY else f"{seconds / _DAY:.1f} days"


@contextlib.contextmanager
def waiting_for(path: Path, what: str, patience: float) -> Iterator[None]:
    """Hold the lock file ``path`` while a ``with`` block runs; wait for another holder, but not for ever.

    Args:
        what: what is held, for the sentence: "the model cache in ~/.cache/rankwise".
        patience: seconds.

    Raises:
        UsageError: another process has held it all the time; the sentence names it.
        OSError: the file cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        last = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > last:
                    who = holder(handle)
                    raise UsageError(
                        f"{what} is held by another process{f' ({who})' if who else ''}, for longer than the "
                        f"{patience:.0f} s that are waited; stop that process, or repeat the command later"
                    ) from None
            time.sleep(LOOK_AGAIN)
        sign(handle)
        yield
    finally:
        os.close(handle)  # closing unlocks


def _stopped(pid: str, handle: int) -> bool:
    """Whether the holder is a process of this machine and was suspended (Ctrl-Z, kill -STOP)."""
    try:
        suspended = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
        return suspended and _has_open(pid, handle)  # another machine's holder may have the number of one of ours
    except (OSError, IndexError):
        return False


def _has_open(pid: str, handle: int) -> bool:
    own = os.fstat(handle)
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.path.samestat(link.stat(), own):
                return True
    return False
