"""Examples from local files: one file, a folder with one file per split, or a folder with a single file."""

from __future__ import annotations

import re
from pathlib import Path

from rankwise.data.bad_rows import STRICT, Skipping
from rankwise.data.columns import Columns
from rankwise.data.examples import CompletionStyle
from rankwise.data.forms.text import text_of
from rankwise.data.readers import READERS, parse, rows_in, text_in
from rankwise.data.sources import SPLIT_WORDS, read_splits
from rankwise.data.splitting import Found
from rankwise.data.unicode import composed
from rankwise.errors import UsageError

SUFFIXES = tuple(READERS)
LABELS = "labels.json"  # the options of a classification, beside its files


def load_path(path: Path, style: CompletionStyle, skip: Skipping = STRICT, columns: Columns | None = None) -> Found:
    """Read a file (all rows as train, to be divided) or a folder (one file per split; others are left alone)."""
    if path.is_dir():
        files = split_files(path)
        folder = path
    elif not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder; give a {' or '.join(SUFFIXES)} file or a folder")
    elif path.suffix.lower() not in SUFFIXES:
        kind = path.suffix or "a file without extension"
        raise UsageError(f"{path}: cannot read {kind}; use {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    else:
        files, folder = {"train": path}, path.parent
    rows = {split: rows_in(file) for split, file in files.items()}
    labels = _labels(folder / LABELS)
    return read_splits(rows, style, task=folder.resolve().name, labels=labels, skip=skip, columns=columns)


def split_files(folder: Path) -> dict[str, Path]:
    """The file of each split, told by a word of its name: train.jsonl, vi_test.json, gsm8k-validation.csv.

    A folder with a single data file is that file. Raises UsageError when there is nothing to train on or when two
    files claim the same split.
    """
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}; check its permissions") from error
    candidates = [p for p in there if p.suffix.lower() in SUFFIXES and p.name.lower() != LABELS and p.is_file()]
    if len(candidates) == 1:
        return {"train": candidates[0]}
    found: dict[str, Path] = {}
    for file in candidates:
        words = re.split(r"[^a-z]+", file.stem.lower())
        for split, names in SPLIT_WORDS.items():
            if not set(words).isdisjoint(names):
                if split in found:
                    raise UsageError(
                        f"{folder}: both {found[split].name} and {file.name} look like the {split} split; keep one"
                    )
                found[split] = file
    if "train" not in found and not {"selection", "test"} <= found.keys():
        held = ", ".join(p.name for p in there[:10]) or "nothing"
        raise UsageError(f"{folder}: no train file ({', '.join(SUFFIXES)}) in this folder; it holds {held}")
    return found


def _labels(file: Path) -> tuple[str, ...]:
    """The options that ``labels.json`` lists, in its order; nothing without that file."""
    if not file.is_file():
        return ()
    labels = parse(text_in(file), str(file), "a list of labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise UsageError(f'{file}: expected a list of labels as text, such as ["positive", "negative"]')
    labels = [text_of(label, "label", str(file)) for label in labels]
    seen = [composed(label) for label in labels]
    if twice := [label for n, label in enumerate(labels) if seen[n] in seen[:n]]:
        raise UsageError(f"{file}: the label {twice[0]!r} is listed twice; keep one of them")
    return tuple(labels)
