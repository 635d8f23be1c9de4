"""safetensors files, read one tensor at a time (and so written, ``tensor_files.py``): a 7B model on a small machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankwise.errors import UsageError
from rankwise.models.folder import INDEX
from rankwise.reading.tensor_header import read_header
from rankwise.reading.tensors import read_tensor
from rankwise.tensor_files import write

_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
TYPES = {name: dtype for dtype, name in _NAMES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: where it is, its shape, its dtype (None: not a float that an update could be added to)."""

    file: str
    shape: tuple[int, ...]
    kind: str

    @property
    def dtype(self) -> torch.dtype | None:
        """As torch has it."""
        return TYPES.get(self.kind)


@dataclass(frozen=True)
class Shards:
    """The tensors of a model folder."""

    folder: Path
    entries: Mapping[str, Entry]

    def read(self, name: str) -> Tensor:
        """Return one tensor, in memory of its own."""
        return read_tensor(self.folder / self.entries[name].file, name)

    def files(self) -> list[str]:
        """Return the file names, in order."""
        return sorted({entry.file for entry in self.entries.values()})

    def largest(self) -> int:
        """Return the bytes of the largest file."""
        return max((self.folder / name).stat().st_size for name in self.files())


def open_shards(folder: Path, files: list[str]) -> Shards:
    """Read the headers of a model's files.

    Raises:
        UsageError: a file is damaged, or two have a tensor of the same name.
    """
    entries: dict[str, Entry] = {}
    for file in files:
        for name, place in read_header(folder / file).tensors.items():
            if name in entries:
                raise UsageError(f"{folder}: {name} is in {entries[name].file} and in {file}; get the model again.")
            entries[name] = Entry(file, place.shape, place.kind)
    return Shards(folder, entries)


def kind_of(dtype: torch.dtype) -> str:
    """Return the format's name of a float dtype."""
    return _NAMES[dtype]


def index(sizes: int, weight_map: Mapping[str, str]) -> dict[str, Any]:
    """Return ``model.safetensors.index.json``."""
    return {"metadata": {"total_size": sizes}, "weight_map": dict(sorted(weight_map.items()))}


def names_in(shards: Shards, file: str) -> Iterator[str]:
    """Yield the tensors of one file."""
    return (name for name, entry in shards.entries.items() if entry.file == file)


__all__ = ["INDEX", "TYPES", "Entry", "Shards", "index", "kind_of", "names_in", "open_shards", "write"]
