"""What a run ends with and a later one may begin from: its trained and merged tensors, and its events' memory.

An adapter as it is saved for others is plain LoRA; here the parts stay apart, in full precision, so that a stream of
tasks goes on from exactly where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rankwise.digests import DamagedError, check_file
from rankwise.errors import RunError, UsageError
from rankwise.tensor_files import write_tensors

_TRAINED, _EVENT = "trained/", "event/"


@dataclass(frozen=True, eq=False)
class State:
    """The state of one run between two tasks.

    Attributes:
        tensors: as :meth:`Trainee.snapshot` gives them: factors by ``<module>.<factor>``, merged pairs under
            ``merged/<module>.``.
        events: tensors of the events' memory; ``record`` is the rest of it. Empty: the events start anew.
    """

    tensors: Mapping[str, Tensor]
    events: Mapping[str, Tensor] = field(default_factory=dict)
    record: tuple[dict[str, Any], ...] = ()

    @cached_property
    def sha256(self) -> str:
        """A hash (hex) of every name, shape, dtype and byte of ``tensors``."""
        return _hash(self.tensors)

    @property
    def numbers(self) -> int:
        """How many numbers the tensors hold."""
        return sum(value.numel() for value in self.tensors.values())

    def write(self, path: Path) -> None:
        """Write it atomically as one safetensors file."""
        own = {f"{_TRAINED}{name}": value for name, value in self.tensors.items()}
        own |= {f"{_EVENT}{name}": value for name, value in self.events.items()}
        plain = {name: value.detach().cpu().contiguous() for name, value in own.items()}
        write_tensors(
            path,
            plain,
            {"events": json.dumps(list(self.record)), "sha256": self.sha256, "memory_sha256": _hash(self.events)},
        )

    @classmethod
    def read(cls, path: Path) -> State:
        """Read :meth:`write`'s file.

        Raises:
            RunError: the file is missing, damaged, or its tensors are not those that were written.
            UsageError: it is there and cannot be opened.
        """
        try:
            path.open("rb").close()
        except FileNotFoundError:
            pass
        except OSError as error:
            why = error.strerror
            raise UsageError(f"{path} cannot be opened ({why}); mend that and run the same command.") from None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            record = tuple(json.loads(metadata["events"]))
            expected, memory = metadata["sha256"], metadata.get("memory_sha256")  # older files have no second one
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(
                f"{path}, the end of a finished run, cannot be read ({reason}); start again in another --out."
            ) from None
        state = cls(_under(_TRAINED, found), _under(_EVENT, found), record)
        if state.sha256 != expected:
            raise RunError(f"{path}, a frozen adapter, was changed after it was written; start again in another --out.")
        if memory is not None and _hash(state.events) != memory:
            raise RunError(
                f"{path}: what events remembered there was changed after it was written; start again in another --out."
            )
        try:
            check_file(path)
        except DamagedError as error:  # the rest of it: the events' record
            raise RunError(f"{path} was changed after it was written: {error}; start again in another --out.") from None
        return state


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
