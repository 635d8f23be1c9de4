"""Prompts to answer, from a text file (one a line) or from a file of rows that have a ``prompt``."""

from __future__ import annotations

from pathlib import Path

from rankwise.data.forms import lower_keys
from rankwise.data.forms.text import text_of
from rankwise.data.readers import READERS, rows_of, text_in
from rankwise.errors import UsageError

COLUMN = "prompt"


def prompts_in(file: Path) -> list[str]:
    """Every prompt of a file, in order: .json, .jsonl, .csv and .parquet hold rows, any other file is text.

    Raises:
        UsageError: the file cannot be read, is empty, or has a row without a prompt; the sentence names the line.
    """
    if file.suffix.lower() not in READERS:
        lines = text_in(file).replace("\r\n", "\n").split("\n")  # as the readers of rows: U+2028 ends no line
        return [line for line in lines if line.strip()]
    found = []
    for where, row in rows_of(file):
        columns = lower_keys(row, where)
        if COLUMN not in columns:
            raise UsageError(f"{where}: each row needs a 'prompt', found {', '.join(row) or 'nothing'}; add the column")
        found.append(text_of(columns[COLUMN], COLUMN, where))
    return found
