"""The ledger: one row per run in ``ledger.sqlite``, exact and durable."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rankwise.errors import RunError, UsageError
from rankwise.files import replacing
from rankwise.ledger.folder import writing_to
from rankwise.ledger.keys import canonical

Status = Literal["queued", "running", "paused", "done", "diverged", "failed"]

NAME = "ledger.sqlite"
_VERSION = 2  # 2: runs may be paused
_HEADER_BYTES = 100
_TABLE = """
CREATE TABLE runs (
  key TEXT PRIMARY KEY NOT NULL,
  label TEXT NOT NULL,
  spec TEXT NOT NULL,                -- canonical JSON
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'paused', 'done', 'diverged', 'failed')),
  reason TEXT,
  result TEXT,                       -- canonical JSON: floats read back exactly
  seconds REAL,
  started TEXT,                      -- UTC, ISO 8601
  finished TEXT,
  restarted_at_step INTEGER
);
"""
_SCHEMA = f"PRAGMA user_version = {_VERSION};{_TABLE}"
_COLUMNS = "key, label, spec, status, reason, result, seconds, started, finished, restarted_at_step"
_UPGRADE = f"""
BEGIN IMMEDIATE;
ALTER TABLE runs RENAME TO runs_old;
{_TABLE}
INSERT INTO runs ({_COLUMNS}) SELECT {_COLUMNS} FROM runs_old ORDER BY rowid;
DROP TABLE runs_old;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True)
class Run:
    """One row.

    Attributes:
        key: 16 hex digits, see :func:`rankwise.ledger.run_key`.
        label: for people, such as ``lora-r16 lr=1e-3 seed=0``.
        spec: what was chosen for the run.
        status: ``diverged`` is a result of the learning rate, ``failed`` is a fault, ``paused`` may go on.
        reason: why it diverged or failed.
        result: its numbers.
        seconds: training time, summed over the parts of a run that was paused.
        started, finished: UTC, ISO 8601.
        restarted_at_step: the checkpoint it last continued from, None if never interrupted.
    """

    key: str
    label: str
    spec: dict[str, Any]
    status: Status
    reason: str | None
    result: dict[str, Any] | None
    seconds: float | None
    started: str | None
    finished: str | None
    restarted_at_step: int | None


class Ledger:
    """Open (or create) the ledger of a study folder. One writer: hold the ``StudyLock``; readers need none.

    Each call is one transaction, on disk when the call returns.

    Args:
        folder: the study folder.
        read_only: for reports; nothing is created or changed.

    Raises:
        UsageError: the folder cannot be written, there is no ledger to read, or a newer rankwise wrote it.
        RunError: the file is damaged or truncated.
    """

    def __init__(self, folder: Path | str, *, read_only: bool = False) -> None:
        self.path = Path(folder) / NAME
        if not self.path.exists():
            if read_only:
                raise UsageError(f"{folder} holds no {NAME}; give the folder of a study that was started")
            _create(self.path)
        elif self.path.stat().st_size < _HEADER_BYTES:  # SQLite may take it for a new database and forget all
            raise self._damaged("it is cut short")
        with self._guard():
            # mode=rw: never create. A reader opens so too, to roll back a commit that a kill cut short.
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None
            )
        try:
            with self._guard():
                self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise
        self._interrupted = [run for run in self.runs() if run.status == "running"]

    def ensure(self, key: str, label: str, spec: dict[str, Any]) -> None:
        """Queue a run unless the ledger already knows it.

        Raises:
            RunError: the key is known with another spec.
        """
        spelled = canonical(spec)
        with self._guard():
            self._db.execute(
                "INSERT INTO runs (key, label, spec, status) VALUES (?, ?, ?, 'queued') ON CONFLICT (key) DO NOTHING",
                (key, label, spelled),
            )
            (known,) = self._db.execute("SELECT spec FROM runs WHERE key = ?", (key,)).fetchone()
        if known != spelled:
            raise RunError(f"run {key} ({label}) is in {self.path} with another spec: {known}")

    def start(self, key: str, *, restarted_at_step: int | None = None) -> None:
        """Mark a run as running; its earlier outcome, if it failed or diverged, is cleared.

        Args:
            key: a known run that is not done.
            restarted_at_step: the checkpoint it continues from (0: from the beginning, after an interruption).
        """
        self._update(
            key,
            "status = 'running', started = ?, finished = NULL, reason = NULL, result = NULL, "
            "seconds = CASE WHEN status IN ('paused', 'running') THEN seconds END, "
            "restarted_at_step = coalesce(?, restarted_at_step)",
            (_now(), restarted_at_step),
            unless=("done",),
        )

    def finish(
        self,
        key: str,
        status: Literal["done", "diverged", "failed", "paused"],
        result: dict[str, Any] | None,
        reason: str | None = None,
        *,
        seconds: float,
    ) -> None:
        """Record how a running run ended, or where it paused.

        Raises:
            UsageError: ``result`` holds a NaN or an infinity, or ``seconds`` is one.
            RunError: the run is not running.
        """
        canonical(seconds)
        self._update(
            key,
            "status = ?, reason = ?, result = ?, seconds = coalesce(seconds, 0) + ?, finished = ?",
            (status, reason, None if result is None else canonical(result), seconds, _now()),
            unless=("queued", "paused", "done", "diverged", "failed"),
        )

    def get(self, key: str) -> Run | None:
        """Look one run up."""
        return next(iter(self._select("WHERE key = ?", (key,))), None)

    def runs(self) -> list[Run]:
        """List all runs, in the order they were queued."""
        return self._select("ORDER BY rowid", ())

    def interrupted(self) -> list[Run]:
        """List the runs that were running when this ledger was opened: their process died."""
        return list(self._interrupted)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, read_only: bool) -> None:
        # A rollback journal, not WAL: it needs no shared memory, so it works on network disks, and the study
        # is one file. TRUNCATE with FULL syncs the journal's end too; with DELETE a power cut just after a
        # commit could bring the journal's name back and undo the commit.
        self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA query_only = {int(read_only)}")
        (verdict,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (pages,), (size,) = (self._db.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size"))
        if self.path.stat().st_size < pages * size:  # SQLite reads the missing end of a page as zeros
            raise sqlite3.DatabaseError("it is cut short")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise UsageError(
                f"{self.path} was written by a newer rankwise (format {version}, this one reads {_VERSION}); "
                "upgrade rankwise or choose another --out"
            )
        self._db.execute(f"SELECT {_COLUMNS} FROM runs LIMIT 1")
        if version < _VERSION and not read_only:
            self._db.executescript(_UPGRADE)

    def _update(self, key: str, changes: str, values: tuple[Any, ...], unless: tuple[str, ...]) -> None:
        refused = ", ".join(f"'{status}'" for status in unless)
        with self._guard():
            changed = self._db.execute(
                f"UPDATE runs SET {changes} WHERE key = ? AND status NOT IN ({refused})", (*values, key)
            ).rowcount
        if changed != 1:
            run = self.get(key)
            state = "is not in the ledger" if run is None else f"is {run.status}"
            raise RunError(f"run {key} {state} in {self.path} and cannot be changed so")

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Run]:
        with self._guard():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM runs {where}", values).fetchall()
            return [_to_run(row) for row in rows]

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # our SQL does not fit: another program's tables
                raise self._damaged(str(error)) from error
            raise RunError(  # disk full, read-only, locked: the file itself is sound
                f"cannot use {self.path} ({error}); solve that and run the same command"
            ) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> RunError:
        return RunError(
            f"{self.path} is damaged ({' '.join(why.split())}); move it and {NAME}-journal away and run the "
            "same command: the runs it recorded will be trained again"
        )


def _create(path: Path) -> None:
    # Built beside and renamed in, so that an empty or half-made ledger is never a normal sight.
    with (
        writing_to(path.parent),
        replacing(path) as temporary,
        contextlib.closing(sqlite3.connect(temporary)) as db,
    ):
        db.execute("PRAGMA journal_mode = OFF")
        db.executescript(_SCHEMA)


def _to_run(row: tuple[Any, ...]) -> Run:
    key, label, spec, status, reason, result, seconds, started, finished, step = row
    parsed = None if result is None else json.loads(result)
    return Run(key, label, json.loads(spec), status, reason, parsed, seconds, started, finished, step)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
