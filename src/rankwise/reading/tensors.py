"""The tensors of safetensors files, whose headers are checked first. Never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankwise.errors import UsageError
from rankwise.reading.tensor_header import read_header

if TYPE_CHECKING:
    from torch import Tensor


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it is truncated, damaged or something else, or holds a dtype that torch has not.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is truncated or damaged ({error}); copy it again") from None


def read_tensor(path: Path, name: str) -> Tensor:
    """Read one tensor of a file whose header was read, into memory of its own.

    The file is opened for it alone, because the pages of a memory map count as ours until it is closed.

    Raises:
        UsageError: the file was changed in the meantime.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            found: Tensor = file.get_tensor(name).clone()
            return found
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} was changed while it was read ({error}); copy it again") from None
