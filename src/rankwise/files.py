"""Writing that a power cut cannot tear: temp file in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on any error it is removed.

    Readers see the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes 0600; results are meant to be shared
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it becomes ``path``, on any error it is removed.

    Raises:
        UsageError: something is at ``path`` already; nothing is ever overwritten.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already and is not overwritten; give another --out, or remove it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            if file.is_file():
                file.chmod(0o644)
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        if os.path.lexists(path):  # an empty folder made meanwhile would be replaced without a word
            raise UsageError(f"{path} was made by another program meanwhile; nothing was written.")
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_into(folder: Path, source: Path, *, last: Collection[str] = ()) -> None:
    """Put the files of ``source`` into ``folder`` under their names, each whole or not at all.

    Where the disk allows, both names share one file, so nothing is stored twice.

    Args:
        last: names that come after all others: a folder that has them is complete.
    """
    for path in sorted((path for path in source.iterdir() if path.is_file()), key=lambda p: (p.name in last, p.name)):
        with replacing(folder / path.name) as temporary:
            temporary.unlink()
            try:
                os.link(path, temporary)
            except OSError:  # this file system has no links
                shutil.copyfile(path, temporary)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Atomically write torch tensors as safetensors.

    Raises:
        OSError: as for any file; safetensors' own error for a full disk is turned into one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        try:
            save_file(dict(tensors), temporary, dict(metadata or {"format": "pt"}))
        except SafetensorError as error:
            full = "No space left" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 ``text`` to ``path``."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Atomically write ``value`` as indented JSON with sorted keys. NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
