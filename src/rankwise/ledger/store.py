"""The ledger: one row per run in ``ledger.sqlite``, exact and durable."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rankwise.errors import RunError, UsageError
from rankwise.ledger.folder import writing_to
from rankwise.ledger.keys import canonical
from rankwise.ledger.repair import create, set_aside
from rankwise.ledger.rows import (
    COLUMNS,
    FACTS,
    TABLE,
    UNVERIFIED,
    VERSION,
    Row,
    Run,
    Status,
    columns_of,
    digest,
    read_rows,
    readable,
    to_run,
)

__all__ = ["NAME", "Ledger", "Run", "Status"]

NAME = "ledger.sqlite"
NOTED = ("base", "look")  # labels of rows that are no training runs
_HEADER_BYTES = 100
_UPGRADE = f"""
BEGIN IMMEDIATE;
ALTER TABLE runs RENAME TO runs_old;
{TABLE}
INSERT INTO runs ({COLUMNS}) SELECT {FACTS}, '{UNVERIFIED}' FROM runs_old ORDER BY rowid;
DROP TABLE runs_old;
PRAGMA user_version = {VERSION};
COMMIT;
"""


class Ledger:
    """Open (or create) the ledger of a study folder. One writer: hold the ``StudyLock``; readers need none.

    Each call is one transaction, on disk when the call returns. A damaged row is set aside when the ledger is opened
    to be written: the file is kept beside a new one of the sound rows. A reader leaves it out.

    Args:
        folder: the study folder.
        read_only: for reports; nothing is created or changed.

    Attributes:
        notes: sentences on what was set aside, or left out.

    Raises:
        UsageError: the folder cannot be written, there is no ledger to read, or a newer rankwise wrote it.
        RunError: the file is damaged in more than its rows, or truncated.
    """

    def __init__(self, folder: Path | str, *, read_only: bool = False) -> None:
        self.path = Path(folder) / NAME
        if not self.path.exists():
            if read_only:
                raise UsageError(f"{folder} holds no {NAME}; give the folder of a study that was started")
            with writing_to(self.path.parent):
                create(self.path)
        elif self.path.stat().st_size < _HEADER_BYTES:  # SQLite may take it for a new database and forget all
            raise self._damaged("it is cut short")
        self.notes: list[str] = []
        self._connect()
        try:
            with self._guard():
                self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise
        self._interrupted = [run for run in self.runs() if run.status == "running"]

    def _connect(self) -> None:
        with self._guard():
            # mode=rw: never create. A reader opens so too, to roll back a commit that a kill cut short.
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None
            )
        self._db.text_factory = readable

    def ensure(self, key: str, label: str, spec: dict[str, Any]) -> None:
        """Queue a run unless the ledger already knows it.

        Raises:
            RunError: the key is known with another spec.
        """
        spelled = canonical(spec)
        with self._transaction():
            facts = (key, label, spelled, "queued", None, None, None, None, None, None)
            self._db.execute(
                f"INSERT INTO runs ({COLUMNS}) VALUES ({', '.join('?' * 11)}) ON CONFLICT (key) DO NOTHING",
                (*facts, digest(facts)),
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

    def trained(self) -> list[Run]:
        """List the runs that train something: not the untouched model's scores, nor looks at the results."""
        return [run for run in self.runs() if run.label not in NOTED]

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
        self._settle(read_only)
        (verdict,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" and read_only:
            raise sqlite3.DatabaseError(verdict)
        (pages,), (size,) = (self._db.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size"))
        if self.path.stat().st_size < pages * size:  # SQLite reads the missing end of a page as zeros
            raise sqlite3.DatabaseError("it is cut short")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise UsageError(
                f"{self.path} was written by a newer rankwise (format {version}, this one reads {VERSION}); "
                "upgrade rankwise or choose another --out"
            )
        rows = read_rows(self._db)
        damaged = [row for row in rows if to_run(row) is None]
        if read_only:
            if damaged:
                self.notes.append(f"{self.path}: {len(damaged)} of {len(rows)} rows are damaged and left out")
        elif damaged or verdict != "ok" or not self._is_ours():
            self._db.close()
            with writing_to(self.path.parent):
                self.notes.append(set_aside(self.path, rows))
            self._connect()
            self._settle(read_only)
        elif columns_of(self._db) != COLUMNS:
            self._db.executescript(_UPGRADE)

    def _settle(self, read_only: bool) -> None:
        # A rollback journal, not WAL: it needs no shared memory, so it works on network disks, and the study
        # is one file. TRUNCATE with FULL syncs the journal's end too; with DELETE a power cut just after a
        # commit could bring the journal's name back and undo the commit.
        self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA query_only = {int(read_only)}")

    def _is_ours(self) -> bool:
        """Whether the table is declared as we declare it, or as an earlier rankwise did."""
        (text,) = self._db.execute("SELECT sql FROM sqlite_master WHERE name = 'runs'").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return columns_of(self._db) != COLUMNS or (text.strip() == TABLE.strip().rstrip(";") and version == VERSION)

    def _update(self, key: str, changes: str, values: tuple[Any, ...], unless: tuple[str, ...]) -> None:
        refused = ", ".join(f"'{status}'" for status in unless)
        with self._transaction():
            changed = self._db.execute(
                f"UPDATE runs SET {changes} WHERE key = ? AND status NOT IN ({refused})", (*values, key)
            ).rowcount
            if changed == 1:
                facts = self._db.execute(f"SELECT {FACTS} FROM runs WHERE key = ?", (key,)).fetchone()
                self._db.execute("UPDATE runs SET digest = ? WHERE key = ?", (digest(facts), key))
        if changed != 1:
            run = self.get(key)
            state = "is not in the ledger" if run is None else f"is {run.status}"
            raise RunError(f"run {key} {state} in {self.path} and cannot be changed so")

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Run]:
        with self._guard():
            rows: list[Row] = self._db.execute(f"SELECT {columns_of(self._db)} FROM runs {where}", values).fetchall()
        return [run for row in rows if (run := to_run(row)) is not None]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            # Python's own errors, such as text that is not UTF-8, have no code.
            if (
                getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR
            ):  # our SQL does not fit: another program's tables
                raise self._damaged(str(error)) from error
            raise RunError(  # disk full, read-only, locked: the file itself is sound
                f"cannot use {self.path} ({error}); solve that and run the same command"
            ) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> RunError:
        return RunError(
            f"{self.path} is damaged ({' '.join(why.split())}); move it and {NAME}-journal away and run the "
            "same command: the runs it recorded will be trained again. What can still be read: "
            f"rankwise ledger export {self.path.parent} --to csv"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
