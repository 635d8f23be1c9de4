"""A run's curve as it grows: ``metrics.jsonl``, one JSON object a line, only ever appended to."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rankwise.errors import RunError
from rankwise.ledger.folder import writing_to

NAME = "metrics.jsonl"
_RESUMED = "resumed"


class MetricsLog:
    """Append to ``run_folder/metrics.jsonl``, which is created with its folder.

    Each record reaches the system in one write before :meth:`append` returns, so a kill loses none of them
    and tears at most the one under way; opening the log again ends the torn line, and :func:`read` skips it.
    """

    def __init__(self, run_folder: Path | str) -> None:
        self.path = Path(run_folder) / NAME
        with writing_to(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
            size = os.fstat(self._handle).st_size
            if size and os.pread(self._handle, 1, size - 1) != b"\n":
                os.write(self._handle, b"\n")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record with an integer ``step`` and, to keep kinds apart, an optional ``event``.

        NaN and infinities (a diverging loss) are written as null, which JSON can hold.

        Raises:
            ValueError: no integer ``step``.
            RunError: the disk is full or the file went away.
        """
        if type(record.get("step")) is not int:
            raise ValueError(f"a metrics record needs an integer step, found {record.get('step')!r}")
        line = json.dumps(_finite(record), ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; free space and run again") from error
        if written != len(line):
            raise RunError(f"cannot write {self.path}: the disk is full; free space and run again")

    def resumed(self, step: int) -> None:
        """Mark that the run continues from a checkpoint at ``step``: later steps so far are void."""
        self.append({"event": _RESUMED, "step": step})

    def close(self) -> None:
        """Close the file; the log cannot be appended to afterwards."""
        os.close(self._handle)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path | str) -> Iterator[dict[str, Any]]:
    """Yield the records of a metrics file as an uninterrupted run would have left them, by step.

    The last record of each step and ``event`` wins; a ``resumed`` marker at step k voids what was recorded
    beyond k; markers themselves and torn lines are skipped. A missing file yields nothing.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return
    last: dict[tuple[int, str | None], dict[str, Any]] = {}
    for line in lines:
        record = _parse(line)
        if record is None:
            continue
        step, event = record["step"], record.get("event")
        if event == _RESUMED:
            last = {place: kept for place, kept in last.items() if place[0] <= step}
        else:
            last[step, event] = record
    for place in sorted(last, key=lambda place: place[0]):  # stable: within a step, as first written
        yield last[place]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
