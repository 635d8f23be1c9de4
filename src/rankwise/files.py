"""Writing that a power cut cannot tear: temporary beside the target, fsync, rename, fsync of the folder.

A temporary is named ``.NAME.rw-MACHINE-PID-START-RANDOM.tmp``: whoever finds one can tell whether its process still
lives. What killed processes left next to an output is removed by the next one that writes there, whatever it writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError

OLD = 24 * 3600.0  # seconds; older temporaries of nobody we can ask (another machine, an earlier rankwise) are dead
_OURS = re.compile(r"\..*\.rw-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}\.tmp", re.DOTALL)
_EARLIER = re.compile(r"[a-z0-9_]{8}\.tmp")  # after the target's name, as Python's tempfile spells it
_swept: set[tuple[str, str]] = set()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; on success it becomes ``path``, on any error it is removed.

    Readers see the old file or the new one, never a part. Permissions are those of any new file (umask).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    temporary = temporary_beside(path)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it becomes ``path``, on any error it is removed.

    Raises:
        UsageError: something is at ``path`` already; nothing is ever overwritten.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already and is not overwritten; give another --out, or remove it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        if os.path.lexists(path):  # an empty folder made meanwhile would be replaced without a word
            raise UsageError(f"{path} was made by another program meanwhile; nothing was written.")
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_beside(path: Path) -> Path:
    """Return a new name beside ``path`` that holds this process's number; nothing is created."""
    name = path.name.encode()[:120].decode(errors="ignore")  # a file name has 255 bytes at most
    own = f"rw-{_machine()}-{os.getpid()}-{_started(os.getpid()) or 0}-{secrets.token_hex(4)}"
    return path.with_name(f".{name}.{own}.tmp")


def sweep(path: Path) -> list[Path]:
    """Remove what dead processes left beside ``path``, once a process; return what was removed.

    A temporary of ours goes when its process is gone; one of another machine, or of an earlier rankwise for this very
    ``path``, after a day without change. What cannot be removed stays.
    """
    place = (os.path.abspath(path.parent), path.name)
    if place in _swept:
        return []
    _swept.add(place)
    removed = []
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir(path.parent)):
            found = path.parent / entry
            if entry.startswith(".") and entry.endswith(".tmp") and _is_dead(found, path.name):
                remove(found)
                removed.append(found)
    return removed


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_dead(path: Path, target: str) -> bool:
    if match := _OURS.fullmatch(path.name):
        machine, pid, started = match.groups()
        return not _lives(int(pid), int(started)) if machine == _machine() else _age(path) > OLD
    prefix = f".{target}."
    return (
        path.name.startswith(prefix)
        and _EARLIER.fullmatch(path.name.removeprefix(prefix)) is not None
        and _age(path) > OLD
    )


def _age(path: Path) -> float:
    """Return the seconds since anything in ``path`` changed."""
    newest = 0.0
    for place in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with contextlib.suppress(OSError):
            newest = max(newest, place.lstat().st_mtime)
    return time.time() - newest


def _lives(pid: int, started: int) -> bool:
    """Whether process ``pid`` is still the one that began at ``started`` (a number may be given again)."""
    if os.path.exists("/proc/self/stat"):
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _started(pid: int) -> int | None:
    """Return when a process of this machine began, in clock ticks since boot; None: there is none (or no /proc)."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if facts[0] in (b"Z", b"X") else int(facts[19])  # a zombie writes nothing
    except (OSError, IndexError, ValueError):
        return None


@lru_cache
def _machine() -> str:
    """Name this machine, or container: process numbers mean something inside it only."""
    facts = [os.fsencode(socket.gethostname())]
    with contextlib.suppress(OSError):
        facts.append(os.fsencode(os.readlink("/proc/self/ns/pid")))
    with contextlib.suppress(OSError):
        facts.append(Path("/etc/machine-id").read_bytes())
    return hashlib.sha256(b"\n".join(facts)).hexdigest()[:8]


def put_into(folder: Path, source: Path, *, last: Collection[str] = ()) -> None:
    """Copy the files of ``source`` into ``folder``, each whole or not at all. (A link would be edited in both places.)

    Args:
        last: names that come after all others: a folder that has them is complete.
    """
    for path in sorted((path for path in source.iterdir() if path.is_file()), key=lambda p: (p.name in last, p.name)):
        with replacing(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 ``text`` to ``path``."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Atomically write ``value`` as indented JSON with sorted keys. NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
