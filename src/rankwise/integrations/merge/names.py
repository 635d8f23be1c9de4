"""Which tensors of the files make a tensor of the model, and the way back.

Files may spell a name otherwise than the model does, and may hold one by one what the model holds together (experts),
or the other way round. transformers knows how: its ``conversion_mapping`` renames and converts while loading. The very
same mapping is used here, one tensor of the model at a time, and turned around for writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankwise.errors import UsageError
from rankwise.integrations.merge.shards import Shards
from rankwise.models.folder import reason_of

# What an operation of another library raises on tensors that it was not made for.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class Part:
    """Tensors of the files, and those of the model that they make.

    Attributes:
        files: names in the files, in the order in which they are converted, each with its place in the conversion.
        shapes: of the tensors of the model, by name; empty where the conversion fails, ``fault`` says how.
        key: transformers' own name of the part.
        converter: None where one tensor of the files is one of the model, under whatever name.
    """

    files: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    key: str
    converter: Any = None
    fault: str = ""


class Names:
    """The tensors of a model's files by the model's names.

    Args:
        model: without storage, as the files' config describes it.

    Attributes:
        parts: by every name in the files that the model reads.
        of: by every name of the model that the files give.
    """

    def __init__(self, model: Any, shards: Shards) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        mapping = get_model_conversion_mapping(model)
        self._renamings = [step for step in mapping if isinstance(step, WeightRenaming)]
        self._converters = [step for step in mapping if isinstance(step, WeightConverter)]
        self._model, self._shards = model, shards
        self._own = model.state_dict()
        found: dict[str, Part] = {}
        for name, (key, pattern) in self._keys().items():
            if pattern is None:
                found.setdefault(key, Part({name: ""}, {key: shards.entries[name].shape}, key))
            elif key in found:
                found[key] = _with(found[key], name, pattern)
            else:
                converter = next(c for c in self._converters if pattern in c.source_patterns)
                found[key] = Part({name: pattern}, {}, key, converter)
        complete = [part if part.converter is None else self._shaped(part) for part in found.values()]
        self.parts = {name: part for part in complete for name in part.files}
        self.of = {name: part for part in complete for name in part.shapes}
        self._last: tuple[Part, dict[str, Tensor]] | None = None

    def read(self, name: str) -> Tensor:
        """Return one tensor of the model as the files have it; not to be written into.

        Raises:
            UsageError: transformers cannot convert what they hold.
        """
        part = self.of[name]
        if part.converter is None:
            return self._shards.read(next(iter(part.files)))
        if self._last is None or self._last[0] is not part:  # parts of one follow each other: q, k and v of a file
            self._last = None  # before the next one is read
            self._last = part, self.convert(part, {file: self._shards.read(file) for file in part.files})
        return self._last[1][name]

    def convert(self, part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the model, from those of the files.

        Raises:
            UsageError: transformers cannot.
        """
        converter = deepcopy(part.converter)
        for file, pattern in part.files.items():
            converter.add_tensor(part.key, file, pattern, tensors[file])
        try:
            return self._run(converter, part.key)
        except _FAULTS as error:
            raise UsageError(f"{self._shards.folder}: {_listed(part.files)}: {reason_of(error)}") from error

    def back(self, part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the files, from all those of the model that ``part`` makes.

        Raises:
            UsageError: transformers knows the one way only.
        """
        try:
            converter, keys = part.converter.reverse_transform(), set[str]()
            for name in part.shapes:
                key, pattern = converter.rename_source_key(name)
                converter.add_tensor(key, name, pattern, tensors[name])
                keys.add(key)
            made = self._run(converter, keys.pop())
        except _FAULTS as error:
            raise UsageError(f"{self._cannot(part)}: {reason_of(error)}") from error
        by_plain = {self._bare(name): tensor for name, tensor in made.items()}
        # The converter's own names: those of the files, renamed as they are before it.
        plain = {file: self._bare(self._renamed(file)) for file in part.files}
        if keys or set(plain.values()) != set(by_plain):
            raise UsageError(f"{self._cannot(part)}: it names them {_listed(made)}.")
        return {file: by_plain[name] for file, name in plain.items()}

    def check_back(self, part: Part) -> None:
        """Go both ways with shapes only.

        Raises:
            UsageError: that does not lead back to the files' names and shapes.
        """
        whole = self.convert(part, {file: self._empty(file) for file in part.files})
        for file, tensor in self.back(part, whole).items():
            if tuple(tensor.shape) != self._shards.entries[file].shape:
                raise UsageError(f"{self._cannot(part)}: {file} becomes {tuple(tensor.shape)}.")

    def lacks(self, name: str, shape: tuple[int, ...]) -> str:
        """Return the sentence for a tensor of the model that the files do not give."""
        why = next((part.fault for part in self.parts.values() if part.key == name and part.fault), "another base?")
        return f"{self._shards.folder} has no tensor {name} of shape {shape}: {why}"

    def file_name(self, name: str) -> str:
        """Return a name for a tensor of the model that the files lack, one that transformers reads as ``name``."""
        spelled = name
        for step in reversed(self._renamings):
            spelled, _ = step.reverse_transform().rename_source_key(spelled)
        return next((n for n in (spelled, name) if n not in self.parts and self._key(n) == (name, None)), name)

    def _keys(self) -> dict[str, tuple[str, str | None]]:
        """Return, for every name in the files that the model reads, the name it gets and the pattern that it fits."""
        from transformers.core_model_loading import dot_natural_key

        found = {name: self._key(name) for name in sorted(self._shards.entries, key=dot_natural_key)}
        return {name: (key, pattern) for name, (key, pattern) in found.items() if key in self._own}

    def _key(self, name: str) -> tuple[str, str | None]:
        from transformers.core_model_loading import rename_source_key

        prefix = self._model.base_model_prefix
        key, pattern = rename_source_key(name, self._renamings, self._converters, prefix, self._own)
        if key not in self._own and name in self._own:  # it has the model's name already
            return name, None
        return key, pattern

    def _renamed(self, name: str) -> str:
        for step in self._renamings:
            name, _ = step.rename_source_key(name)
        return name

    def _bare(self, name: str) -> str:
        """Return ``name`` without the base model's prefix, which files may have or not."""
        return name.removeprefix(f"{self._model.base_model_prefix}.")

    def _shaped(self, part: Part) -> Part:
        """Learn what the part makes from an empty conversion."""
        try:
            made = self.convert(part, {file: self._empty(file) for file in part.files})
        except UsageError as error:
            return Part(part.files, {}, part.key, part.converter, str(error))
        shapes = {name: tuple(tensor.shape) for name, tensor in made.items()}
        return Part(part.files, shapes, part.key, part.converter)

    def _empty(self, file: str) -> Tensor:
        entry = self._shards.entries[file]
        return torch.empty(entry.shape, dtype=entry.dtype or torch.float32, device="meta")

    def _run(self, converter: Any, key: str) -> dict[str, Tensor]:
        made = converter.convert(key, model=self._model, config=self._model.config)
        made = made[0] if isinstance(made, tuple) else made  # transformers 5.0 gives its faults beside
        return {name: found[0] if isinstance(found, list) else found for name, found in made.items()}

    def _cannot(self, part: Part) -> str:
        return (
            f"transformers joins {_listed(part.files)} of {self._shards.folder} while loading and cannot take them "
            "apart again, so an update of them cannot be written"
        )


def _with(part: Part, file: str, pattern: str) -> Part:
    return part if part.converter is None else Part({**part.files, file: pattern}, {}, part.key, part.converter)


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more" if rest else first
