"""Digests that files carry, so that what was written is what is read.

Three forms, one rule. A file that states a digest and does not have it is damaged; one that states none (an older
rankwise, another program that saved it again) is of other origin and is taken as it comes.

tensors   in the metadata of a safetensors file, over names, dtypes, shapes, bytes and the other metadata: it survives
          ``cp``, and a program that saves the tensors again drops it with the rest of our metadata
objects   under ``"digest"`` of a JSON object, over all other entries
folders   ``rankwise.sha256``, as ``sha256sum -c`` reads it, over the small files beside tensors; it says nothing once
          another program has saved those tensors again

A statement is a key and a value with a mark of its own, so that a flipped bit cannot make it look like none at all.
Hashes are xxh3-128: they guard against accidents, not against a forger, and at 10 GB/s (sha256: 1.8, with a processor
that helps) a checkpoint of a whole model is hashed in a fraction of the time it takes to write.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash

from rankwise.files import write_text
from rankwise.reading.tensor_header import Header, HeaderError, header_in

KEY, JSON_KEY = "rankwise.digest", "digest"
MARK = "rankwise-xxh3:"
BLANK = MARK + "0" * 32
SUMS = "rankwise.sha256"


class DamagedError(Exception):
    """A file does not have the digest it states; the text is one clause, without the file's name."""


def of_bytes(raw: memoryview | bytes) -> str:
    """Return the hash of bytes, in hex."""
    return xxhash.xxh3_128(raw).hexdigest()


def of_parts(parts: Mapping[str, tuple[str, tuple[int, ...], str]], metadata: Mapping[str, str] | None = None) -> str:
    """Return the digest of tensors as name -> (dtype name, shape, hash of its bytes), and what the metadata say."""
    said = {key: value for key, value in (metadata or {}).items() if key != KEY}
    return of_value([sorted(said.items()), sorted((name, *part) for name, part in parts.items())])


def of_value(value: Any) -> str:
    """Return the digest of a JSON value."""
    return MARK + of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii"))


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its digest in it."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    return {**plain, JSON_KEY: of_value(plain)}


def unsealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its digest, if it has one.

    Raises:
        DamagedError: it is not what was written.
    """
    stated = _stated(value, JSON_KEY)
    rest = {key: item for key, item in value.items() if key != JSON_KEY}
    if stated is not None and of_value(rest) != stated:
        raise DamagedError("its contents are not those that were written")
    return rest


def check_file(path: Path) -> bool:
    """Hold a safetensors file against the digest it states; return whether it states one.

    Raises:
        DamagedError: it differs, or is no safetensors file.
        OSError: it cannot be read.
    """
    header = _header(path)
    stated = _stated(header.metadata, KEY)
    if stated is None:
        return False
    parts = {}
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        memoryview(whole) as view,
    ):
        for name, place in header.tensors.items():
            with view[place.begin : place.end] as raw:
                parts[name] = (place.kind, place.shape, of_bytes(raw))
    if of_parts(parts, header.metadata) != stated:
        raise DamagedError("its tensors are not those that were written")
    return True


def states_digest(path: Path) -> bool:
    """Whether a safetensors file states a digest, right or wrong; its tensors are not read."""
    try:
        return _stated(_header(path).metadata, KEY) is not None
    except (DamagedError, OSError):
        return False


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Write the sums of files in ``folder``; those named before and not now are forgotten."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names) if (folder / name).is_file()]
    write_text(folder / SUMS, "".join(lines))


def check_sums(folder: Path) -> None:
    """Hold the files of ``folder`` against its sums, if it has any; a file that is gone is not asked for.

    Raises:
        DamagedError: a file differs (it is named), or the sums cannot be read.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        raise DamagedError(f"{SUMS} cannot be read") from None
    for line in lines:
        stated, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or Path(name).name != name or name in ("", ".", ".."):
            raise DamagedError(f"{SUMS} cannot be read")
        try:
            differs = sha256_of(folder / name) != stated
        except FileNotFoundError:
            continue
        if differs:
            raise DamagedError(f"{name} is not what was written (its sum is in {SUMS})")


def sha256_of(path: Path) -> str:
    """Hash a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stated(about: Mapping[str, Any], key: str) -> str | None:
    """Return the digest stated under ``key``, None when nothing states one.

    Raises:
        DamagedError: a statement that has lost its key, or its mark.
    """
    marked = [name for name, value in about.items() if isinstance(value, str) and value.startswith(MARK)]
    if key not in about and not marked:
        return None
    if marked != [key]:
        raise DamagedError("its digest cannot be read")
    return str(about[key])


def _header(path: Path) -> Header:
    try:
        return header_in(path)
    except HeaderError as fault:
        raise DamagedError(str(fault)) from None
