"""One command in a forked child, under limits, watched: what it printed, what it cost, what it touched.

A fork of a process that has imported torch and run nothing starts in a hundredth of a second.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10.0  # of the processor's time
PATIENCE = 30.0  # of the clock: others use the machine too
LOOK = 0.05  # seconds between two looks at a child's memory
MEMORY = 2**30  # bytes above what the process that forks has
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
PROGRAMS = {"git", "nvidia-smi", "lscpu", "uname", "ldconfig", "gcc", "cc"}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; negative is a signal.
        late: it was stopped because it ran out of time.
        seconds: of the processor.
        memory: bytes at its peak, above those of the process that forked it.
        out, err: what it printed.
        strayed: what it wrote outside of its folder, programs it started and hosts it called.
    """

    code: int
    late: bool
    seconds: float
    memory: int
    out: bytes
    err: bytes
    strayed: list[str]


def run(command: Callable[[], int], folder: Path, log: Path) -> Ended:
    """Run ``command`` in ``folder``; ``log`` is a folder outside of it for what is noted."""
    for name in ("out", "err", "strayed"):
        (log / name).write_bytes(b"")
    before = _resident()
    pid = os.fork()
    if not pid:
        _become(command, folder, log)
    late = _outlasts(pid, before)
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Ended(
        code,
        late or code == -signal.SIGXCPU,
        seconds,
        max(used.ru_maxrss * 1024 - before, 0),
        (log / "out").read_bytes(),
        (log / "err").read_bytes(),
        (log / "strayed").read_text(errors="replace").splitlines(),
    )


def _outlasts(pid: int, before: int) -> bool:
    """Wait for a child; end it, and return True, where it takes too long; end it too where it takes too much memory.

    No limit of the system does that: V8, which draws the figures, reserves far more than it uses.
    """
    handle = os.pidfd_open(pid)
    try:
        for _ in range(int(PATIENCE / LOOK)):
            if select.select([handle], [], [], LOOK)[0]:
                return False
            if _resident(pid) - before > 2 * MEMORY:
                os.kill(pid, signal.SIGKILL)
                return False
        os.kill(pid, signal.SIGKILL)
        return True
    finally:
        os.close(handle)


def _resident(pid: int | str = "self") -> int:
    """Bytes that a process holds now."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _become(command: Callable[[], int], folder: Path, log: Path) -> None:
    code = 98
    try:
        os.chdir(folder)
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(log / name, os.O_WRONLY | os.O_APPEND), descriptor)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (the child ends by os._exit)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        _limit()
        _watch(folder, os.open(log / "strayed", os.O_WRONLY | os.O_APPEND))
        code = command()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS) + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _watch(folder: Path, note: int) -> None:
    own = (f"{folder}/", f"{os.environ['RANKWISE_CACHE']}/", "/dev/", "/proc/")

    def stray(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return not (os.path.abspath(os.fsdecode(path)) + "/").startswith(own)

    def hook(event: str, args: tuple) -> None:
        what = None
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITING and stray(path):
                what = f"writes {os.fsdecode(path)!r}"
        elif event in CHANGES and any(stray(path) for path in args[:2]):
            what = f"{event} {args[:2]}"
        elif event == "socket.connect":
            what = f"calls {args[1]!r}"
        elif event == "os.system" or (event == "subprocess.Popen" and not _known(args[0])):
            what = f"starts {args[0]!r}"
        if what:
            os.write(note, f"{what}\n".encode("utf-8", "backslashreplace"))

    sys.addaudithook(hook)


def _known(program: object) -> bool:
    name = os.fsdecode(program) if isinstance(program, str | bytes | os.PathLike) else ""
    return os.path.basename(name) in PROGRAMS or name == sys.executable
