"""Rows of one file: .json, .jsonl, .csv or .parquet. Every row knows its place, and every fault is one sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rankwise.data.bad_rows import BadRow
from rankwise.data.forms import Rows
from rankwise.data.numbers import exact_rows, read_float
from rankwise.errors import UsageError
from rankwise.reading import parse_json


def rows_of(file: Path) -> Rows:
    """All rows of one file, each with its place. Raises UsageError naming the line or row that is wrong."""
    rows = rows_in(file)
    for _, row in rows:
        if isinstance(row, BadRow):
            raise row.error
    return rows


def rows_in(file: Path) -> Rows:
    """As :func:`rows_of`, with a :class:`BadRow` in the place of a row that is wrong by itself.

    Raises UsageError for a file that cannot be read or holds no rows.
    """
    items = READERS[file.suffix.lower()](file)
    if not items:
        raise UsageError(f"{file} holds no rows; it needs at least one example")
    return [(where, row if isinstance(row, Mapping) else _no_object(where, row)) for where, row in items]


def _no_object(where: str, row: Any) -> BadRow:
    return BadRow(UsageError(f"{where}: expected an object with named columns, found {type(row).__name__}"))


def text_in(file: Path) -> str:
    """A text file that is not blank."""
    try:
        text = file.read_bytes().decode("utf-8-sig")  # a byte-order mark is harmless
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it again as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}; check the path and its permissions") from error
    if not text.strip():
        raise UsageError(f"{file} is empty; it needs at least one example")
    return text


def _jsonl(file: Path) -> Rows:
    # Split on \n only: JSON strings may hold U+2028 and friends, which str.splitlines would cut.
    lines = [(f"{file} line {n}", line) for n, line in enumerate(text_in(file).split("\n"), start=1) if line.strip()]
    return [(where, _line(line, where)) for where, line in lines]


def _line(line: str, where: str) -> Any:
    try:
        return parse(line, where, "one JSON object per line")
    except UsageError as error:
        return BadRow(error)


def _json(file: Path) -> Rows:
    value = parse(text_in(file), str(file), "a list of objects (for one object per line, name it .jsonl)")
    if isinstance(value, Mapping):
        value = _only_list(value, file)
    if not isinstance(value, list):
        raise UsageError(f"{file}: expected a list of objects, found {type(value).__name__}")
    return [(f"{file} row {n}", row) for n, row in enumerate(value, start=1)]


def _only_list(holder: Mapping[str, Any], file: Path) -> list[Any]:
    """The list of rows that an object holds: under ``data``, or under any key when it is the only one."""
    lists = {key: value for key, value in holder.items() if isinstance(value, list)}
    rows = {key: value for key, value in lists.items() if value and all(isinstance(row, Mapping) for row in value)}
    found = {key: value for key, value in lists.items() if key == "data"} or rows or lists
    if len(found) == 1:
        return next(iter(found.values()))
    held = f"lists under {', '.join(found)}" if found else f"none under {', '.join(holder) or 'no key'}"
    raise UsageError(
        f'{file}: expected a list of objects, alone or under one key such as {{"data": [...]}}, found {held}; '
        "for splits write train.json and test.json into one folder"
    )


def parse(text: str, where: str, expected: str) -> Any:
    """Read JSON text. Raises UsageError with the place, what is wrong there and what was ``expected``."""
    return parse_json(text, where, expected=expected, read_float=read_float)


def _csv(file: Path) -> Rows:
    text = text_in(file)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    usual = csv.field_size_limit(len(text) + 1)  # the module's limit, 131,072 characters, is less than a long document
    try:
        for cells in reader:
            if cells:  # a blank line has none
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{file} line {start}: broken CSV: {error}; check the quotes of the row") from error
    finally:
        csv.field_size_limit(usual)
    (_, header), *body = lines
    header = [name.strip() or f"column {n}" for n, name in enumerate(header, start=1)]
    if len(header) == 1 and (separators := [mark for mark in ";\t|" if mark in header[0]]):
        raise UsageError(f"{file}: columns are separated by {separators[0]!r}; save it with commas")
    twice = [name for n, name in enumerate(header) if name in header[:n]]
    if twice:
        raise UsageError(f"{file}: two columns are named {twice[0]!r}; rename one")
    return [(f"{file} line {line}", _cells(header, cells, f"{file} line {line}")) for line, cells in body]


def _cells(header: list[str], cells: list[str], where: str) -> dict[str, Any]:
    if len(cells) == len(header):
        return dict(zip(header, cells, strict=True))
    return BadRow(
        UsageError(
            f"{where}: {len(cells)} cells, but the header has {len(header)} ({', '.join(header)}); "
            "put text that holds commas in double quotes"
        )
    )


def _parquet(file: Path) -> Rows:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]  # comes with datasets

    try:
        table = pyarrow.parquet.read_table(file, partitioning=None)
        exact = exact_rows(table.schema)
        rows = [exact(row) for row in table.to_pylist()]
    except pyarrow.ArrowException as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UsageError(f"{file}: not a readable Parquet file ({reason}); write it again") from error
    except (ValueError, OverflowError, ArithmeticError) as error:  # a moment before the year 1 or after 9999
        reason = " ".join(str(error).split())
        raise UsageError(f"{file}: a value is none that Python can hold ({reason}); write it as text") from error
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read: {error.strerror or str(error).splitlines()[0]}; check the file"
        ) from error
    return [(f"{file} row {n}", row) for n, row in enumerate(rows, start=1)]


READERS: dict[str, Callable[[Path], Rows]] = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
