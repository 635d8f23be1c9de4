"""One process writes a study at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from pathlib import Path
from types import TracebackType

from rankwise.errors import UsageError
from rankwise.ledger.folder import LOCK_NAME, refuse_foreign, writing_to
from rankwise.locks import holder, sign


class StudyLock:
    """Hold a study folder while a ``with`` block runs; create the folder when it is not there yet.

    The lock is ``flock`` on the file ``.lock``: the system drops it when the process ends in any way, so
    SIGKILL leaves nothing behind. A forked child shares it and must die with its parent. The file itself
    stays, because removing it would let a third process lock a new file while a second waits on the old one.

    Raises:
        UsageError: another process holds the folder (the message names its pid and since when), the folder is something
            else than a study (nothing is written there), or it cannot be written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._handle: int | None = None

    def __enter__(self) -> StudyLock:
        refuse_foreign(self.folder)
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = self._open()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = holder(handle, self._written())
            os.close(handle)
            raise UsageError(
                f"the study in {self.folder} is being written by another process"
                f"{f' ({who})' if who else ''}; wait for it, stop it, or choose another --out"
            ) from None
        sign(handle)
        self._handle = handle
        return self

    def _written(self) -> list[Path]:
        """What a study writes while it lives: its ledger, its runs' metrics and checkpoints."""
        own = [path for path in self.folder.glob("*") if path.name != LOCK_NAME]
        return [*own, *self.folder.glob("runs/*/*")]

    def _open(self) -> int:
        """Open the lock file: never through a link, and never a file that is not a lock of ours."""
        path = self.folder / LOCK_NAME
        handle = None
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):  # it is a link
                raise
        if handle is not None and _is_ours(handle):
            return handle
        if handle is not None:
            os.close(handle)
        raise UsageError(
            f"{path} is not a lock of ours (it is a link, or holds something else); remove it, or choose another --out"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)  # nobody reads the pid of a process that let go
            os.close(self._handle)  # closing unlocks
            self._handle = None


def _is_ours(handle: int) -> bool:
    """Whether a file is what we may write a pid into: a plain file with nothing but a pid in it."""
    return stat.S_ISREG(os.fstat(handle).st_mode) and re.fullmatch(rb"[0-9]*\n?", os.pread(handle, 64, 0)) is not None
