"""Writes safetensors files, one tensor in memory at a time, each file with its digest.

The format is an 8-byte length, a JSON header (name to dtype, shape and place) and the bytes. The header is known before
any tensor is made, so nothing has to wait in memory; the digest's place in it is filled in at the end. The package's
own ``save_file`` writes through a hidden file of its own, which a kill leaves behind, and for the owner's eyes only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankwise.digests import BLANK, KEY, of_bytes, of_parts
from rankwise.files import replacing

KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
Entry = tuple[str, tuple[int, ...]]


def entry_of(tensor: Tensor) -> Entry:
    """Return what the header says of a tensor: the format's name of its dtype, and its shape."""
    return KINDS[tensor.dtype], tuple(tensor.shape)


def write(
    path: Path,
    entries: Mapping[str, Entry],
    make: Callable[[str], Tensor],
    metadata: Mapping[str, str] | None = None,
    beside: Callable[[str], str] = str,
) -> int:
    """Write ``{name: (dtype name, shape)}``; ``make`` gives one tensor at a time. Returns the bytes of the tensors.

    Tensors of one width for which ``beside`` gives the same word are made one after another.
    """
    own = {"format": "pt", **(metadata or {})}
    header: dict[str, Any] = {"__metadata__": {**own, KEY: BLANK}}
    end = 0
    # Wide types first, so that every tensor is aligned.
    order = sorted(entries, key=lambda name: (-_width(entries[name][0]), beside(name), name))
    for name in order:
        kind, shape = entries[name]
        size = _width(kind)
        for n in shape:
            size *= n
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    parts = {}
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            kind, shape = entries[name]
            raw = bytes_of(make(name))
            begin, stop = header[name]["data_offsets"]
            if len(raw) != stop - begin:
                raise AssertionError(f"{name}: {len(raw)} bytes do not fill its place of {stop - begin}")
            file.write(raw)
            parts[name] = (kind, shape, of_bytes(raw))
        file.seek(8 + text.index(f'"{KEY}":"{BLANK}"'.encode()) + len(f'"{KEY}":"'))
        file.write(of_parts(parts, own).encode())
    return end


def bytes_of(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes, copied only where they are not on the CPU and in order."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the digest that a file of ``tensors`` would carry."""
    return of_parts({name: (*entry_of(value), of_bytes(bytes_of(value))) for name, value in tensors.items()})


def _width(kind: str) -> int:
    bits = {"BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8}.get(kind) or int("".join(c for c in kind if c.isdigit()))
    return bits // 8


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Atomically write torch tensors as safetensors that carry a digest (:mod:`rankwise.digests`).

    Raises:
        OSError: as for any file.
    """
    with replacing(path) as temporary:
        write(temporary, {name: entry_of(value) for name, value in tensors.items()}, tensors.__getitem__, metadata)
