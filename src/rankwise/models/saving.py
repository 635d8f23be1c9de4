"""A trained model as a folder of its own, whole or not at all, with digests (:mod:`rankwise.digests`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import safe_open

from rankwise.digests import write_sums
from rankwise.files import new_folder, replacing
from rankwise.tensor_files import write


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer to ``folder``, in the place of an earlier one."""
    shutil.rmtree(folder, ignore_errors=True)
    with new_folder(folder) as place:
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
        for path in sorted(place.glob("*.safetensors")):
            _seal(path)
        seal_rest(place)


def seal_rest(folder: Path) -> None:
    """Write the sums of all that lies beside the tensors; the card is meant to be edited."""
    write_sums(folder, [p.name for p in folder.iterdir() if p.suffix != ".safetensors" and p.name != "README.md"])


def _seal(path: Path) -> None:
    """Write a safetensors file again, one tensor at a time, with its digest and the permissions of any new file."""
    with safe_open(path, framework="pt") as file, replacing(path) as temporary:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        entries = {name: (found.get_dtype(), tuple(found.get_shape())) for name, found in slices.items()}
        write(temporary, entries, file.get_tensor, file.metadata())
