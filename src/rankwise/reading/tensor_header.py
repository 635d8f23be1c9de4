"""The header of a safetensors file: read and checked in whole before any tensor is.

The format is an 8-byte length, a JSON object (name to dtype, shape and place) and the bytes of the tensors, which
follow each other without gaps to the end of the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from rankwise.errors import UsageError
from rankwise.reading.json_text import kind_of, parse_json

BYTES = 100_000_000  # of a header, the format's own limit
BITS = {
    **{"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32},
    **{"F16": 16, "BF16": 16, "I16": 16, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8},
    **{"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}
_SHOWN = 60  # characters of a name or value in a sentence
_DIMENSIONS, _LARGEST = 64, 2**63  # numbers of a shape, and each of them: more is damage


class HeaderError(Exception):
    """A header is not one; the text is one clause, without the file's name."""


@dataclass(frozen=True)
class Place:
    """One tensor of a file: the format's name of its dtype, its shape, and its bytes ``[begin, end)`` in the file."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds, in the order of its header, and what else the header says."""

    tensors: Mapping[str, Place]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it is truncated, damaged or something else.
    """
    try:
        return header_in(path)
    except FileNotFoundError:
        raise
    except HeaderError as fault:
        raise UsageError(f"{path} is truncated or damaged ({fault}); copy it again") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from None


def header_in(path: Path) -> Header:
    """As :func:`read_header`.

    Raises:
        HeaderError: it is truncated, damaged or something else.
        OSError: it cannot be opened or read.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise HeaderError("it is cut short")
        (length,) = struct.unpack("<Q", start)
        if length > BYTES:
            raise HeaderError(f"its header would have {length:,} bytes, more than the format allows")
        if length > size - 8:
            raise HeaderError("it is cut short")
        raw = file.read(length)
    try:
        found = parse_json(raw.decode("utf-8"), "its header")
    except UnicodeDecodeError:
        raise HeaderError("its header is no text") from None
    except UsageError as error:
        raise HeaderError(str(error)) from None
    if not isinstance(found, dict):
        raise HeaderError(f"its header is {kind_of(found)}, not an object")
    metadata = {} if (stated := found.pop("__metadata__", None)) is None else stated
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderError("the metadata of its header are not all text")
    first = 8 + length
    tensors = {name: _place(name, about, first) for name, about in found.items()}
    _check_places(tensors, first, size)
    return Header(tensors, metadata)


def _place(name: str, about: Any, first: int) -> Place:
    """Check what the header says of one tensor by itself."""
    shown = repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
    if not isinstance(about, dict):
        raise HeaderError(f"what its header says of {shown} is {kind_of(about)}, not an object")
    kind, shape, offsets = (about.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(kind, str) or kind not in BITS:
        raise HeaderError(f"the dtype of {shown} is {repr(kind)[:_SHOWN]}, which the format does not know")
    if not _counts(shape):
        raise HeaderError(f"the shape of {shown} is not a list of whole numbers")
    if not _counts(offsets) or len(offsets) != 2:
        raise HeaderError(f"the place of {shown} is not a pair of whole numbers")
    bits, space = math.prod(shape) * BITS[kind], (offsets[1] - offsets[0]) * 8
    if bits != space:
        raise HeaderError(f"the place of {shown} has not the size of its shape and dtype")
    return Place(kind, tuple(shape), first + offsets[0], first + offsets[1])


def _counts(value: Any) -> TypeGuard[list[int]]:
    few = isinstance(value, list) and len(value) <= _DIMENSIONS
    return few and all(type(item) is int and 0 <= item < _LARGEST for item in value)


def _check_places(tensors: Mapping[str, Place], first: int, size: int) -> None:
    """Check that the tensors follow each other to the end of the file."""
    end = first
    for name, place in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin != end:
            how = "overlaps another" if place.begin < end else "leaves a gap before it"
            raise HeaderError(f"the place of {name[:_SHOWN]!r} {how}")
        end = place.end
    if end != size:
        raise HeaderError("it is cut short" if end > size else f"{size - end:,} bytes follow its last tensor")
