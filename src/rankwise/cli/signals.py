"""A command that is told to end (SIGTERM, SIGHUP) ends as with Ctrl-C: what can be saved is, and a line reports it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

TOLD = (signal.SIGTERM, signal.SIGHUP)  # a scheduler's end of time, a terminal that was closed


class Received:
    """The signal that ended the command; SIGINT unless another came."""

    number = int(signal.SIGINT)

    @property
    def exit_code(self) -> int:
        """As shells give it: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


@contextlib.contextmanager
def as_interrupts() -> Iterator[Received]:
    """Raise KeyboardInterrupt on the signals of ``TOLD`` inside the block; one that is ignored (nohup) stays so."""
    received, before = Received(), dict[int, Any]()

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.number = number
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in TOLD if signal.getsignal(n) == signal.SIG_DFL}
        for number in before:
            signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
