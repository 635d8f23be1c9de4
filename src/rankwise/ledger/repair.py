"""What can be saved from a damaged ledger: a new one of its sound rows, or the rows alone."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rankwise.files import replacing
from rankwise.ledger.rows import INSERT, SCHEMA, UNVERIFIED, Row, Run, columns_of, readable, to_run

_UNREADABLE = 10_000  # places in a row that cannot be read: there is nothing more


def create(path: Path, rows: Iterable[Row] = ()) -> None:
    """Make a ledger of ``rows``, built beside its place and renamed into it, so that nobody ever reads half of one."""
    with replacing(path) as temporary, contextlib.closing(sqlite3.connect(temporary)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.executescript(SCHEMA)
        with db:
            db.executemany(INSERT, rows)


def set_aside(path: Path, rows: list[Row]) -> str:
    """Put the sound ones of ``rows`` in the ledger's place, keep the old file beside it, and return what was done."""
    good = [row for row in rows if to_run(row) is not None]
    kept = path.with_name(f"{path.name}.damaged")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{number}")
    shutil.copyfile(path, kept)
    create(path, good)
    lost = [str(row[1]) for row in rows if to_run(row) is None]
    named = f" ({', '.join(lost[:4])}{', ...' if len(lost) > 4 else ''})" if all(map(str.isprintable, lost)) else ""
    what = f"{len(lost)} damaged row{'s' if len(lost) > 1 else ''}{named}" if lost else "a damaged page"
    return f"{path} had {what}: the old file is kept as {kept.name}, and what is missing is made again"


def salvage(path: Path) -> tuple[list[Run], int]:
    """Return the runs that a damaged ledger still holds, and how many of its rows cannot be trusted.

    The file itself is not touched: a copy is read, whatever a kill left in its journal undone. Rows in pages that
    cannot be read are not counted.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        for suffix in ("", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.text_factory = readable
            found = [to_run(row) for row in _rows(db)]
    runs = {run.key: run for run in found if run is not None}
    return list(runs.values()), found.count(None)


def _rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Yield every row that can be read; a place that cannot be is stepped over."""
    try:
        columns = columns_of(db)
    except sqlite3.DatabaseError:
        return
    last = misses = 0
    while misses < _UNREADABLE:
        try:
            query = f"SELECT {columns}, rowid FROM runs NOT INDEXED WHERE rowid > ? ORDER BY rowid"
            for *row, place in db.execute(query, (last + misses,)):
                yield tuple(row)
                if row[-1] == UNVERIFIED or to_run(tuple(row)) is not None:  # the place of another may be anything
                    last, misses = place, 0
        except (sqlite3.DatabaseError, OverflowError):
            misses += 1
        else:
            return
