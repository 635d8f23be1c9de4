"""One row of the ledger: its columns, its digest, and the run that it records."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from rankwise.digests import of_value

Status = Literal["queued", "running", "paused", "done", "diverged", "failed"]
Row = tuple[Any, ...]

VERSION = 3  # 2: runs may be paused; 3: rows have a digest
TABLE = """
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
  restarted_at_step INTEGER,
  digest TEXT NOT NULL               -- of all other columns
);
"""
SCHEMA = f"PRAGMA user_version = {VERSION};{TABLE}"
FACTS = "key, label, spec, status, reason, result, seconds, started, finished, restarted_at_step"
COLUMNS = f"{FACTS}, digest"
UNVERIFIED = "unverified"  # in the digest's place: the row was written by an earlier rankwise
INSERT = f"INSERT INTO runs ({COLUMNS}) VALUES ({', '.join('?' * 11)})"


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


def digest(facts: Row) -> str:
    """Return the digest of a row's other columns."""
    return of_value(list(facts))


def to_run(row: Row) -> Run | None:
    """Return the run of a row (``COLUMNS``), or None: the row is not the one that was written."""
    facts, stated = row[:-1], row[-1]
    if any(isinstance(cell, bytes) for cell in row) or (stated != UNVERIFIED and stated != digest(facts)):
        return None
    key, label, spec, status, reason, result, seconds, started, finished, step = facts
    try:
        for text in (key, label, spec, status, *(cell for cell in (reason, started, finished) if cell is not None)):
            text.encode("utf-8")  # rows without a digest may hold anything
        chosen, parsed = json.loads(spec), None if result is None else json.loads(result)
        if not (
            isinstance(chosen, dict) and isinstance(parsed, dict | None) and isinstance(seconds, float | int | None)
        ):
            return None
        return Run(key, label, chosen, status, reason, parsed, seconds, started, finished, step)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def read_rows(db: sqlite3.Connection) -> list[Row]:
    """Return all rows in the order they were queued; those of an earlier rankwise are marked as unverified."""
    return db.execute(f"SELECT {columns_of(db)} FROM runs NOT INDEXED ORDER BY rowid").fetchall()


def columns_of(db: sqlite3.Connection) -> str:
    """Return ``COLUMNS`` as this ledger has them."""
    names = {about[1] for about in db.execute("PRAGMA table_info(runs)")}
    return COLUMNS if "digest" in names else f"{FACTS}, '{UNVERIFIED}'"


def readable(text: bytes) -> str:
    """Return the text of a cell, whatever its bytes are: its row's digest tells whether they are right."""
    return text.decode("utf-8", "surrogateescape")
