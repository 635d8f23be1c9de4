"""Asked to stop by Ctrl-C, SIGTERM or SIGHUP, a pack goes on to a place where its runs can be saved, and ends there."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(KeyboardInterrupt):
    """The work ends here because a signal asked for it. Not an Exception, so that no run is recorded as failed."""


class Stopping:
    """Hears a request to stop while a ``with`` block runs; the block says by :meth:`check` where it may end.

    The first signal is only remembered. When the block has ended, it has the effect that it would have had at once;
    a second one does not wait. A signal that is ignored (``nohup``) stays ignored, and outside the main thread, where
    Python allows no handlers, nothing is heard.

    Attributes:
        heard: the signal, None before one came.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """End the block here if it was asked to stop.

        Raises:
            StoppedError: it was.
        """
        if self.heard is not None:
            raise StoppedError

    def __enter__(self) -> Stopping:
        self.heard = None
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before is not None and before != signal.SIG_IGN:  # None: another language's, not ours to replace
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before = self._before.get(self.heard) if self.heard is not None else None
        self._put_back()
        if self.heard is not None and (kind is None or issubclass(kind, StoppedError)):
            _deliver(self.heard, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard is None:
            self.heard = number
            return
        before = self._before[number]
        self._put_back()
        _deliver(number, before, frame)

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def _deliver(number: int, handler: Any, frame: FrameType | None = None) -> None:
    """Do what the signal does without us: most handlers raise, and the system's own one ends the process."""
    if callable(handler):
        handler(number, frame)
    else:
        signal.raise_signal(number)
