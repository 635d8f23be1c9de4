"""What merging changes, found on an empty skeleton of the model.

The adapter is loaded on a model without storage (the meta device), by the same strict :func:`rankwise.load` as on a
real one; then every tensor of the model is one of: untouched, plus an update, replaced (modules_to_save). The files'
tensors that make an untouched one are copied, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import Handle, load, orientation
from rankwise.adapters.experts import AdaptedExperts
from rankwise.adapters.overlay import relation
from rankwise.adapters.peft_format import PREFIX
from rankwise.adapters.whole import follow
from rankwise.errors import UsageError
from rankwise.integrations.merge.names import Names, Part
from rankwise.integrations.merge.shards import Shards
from rankwise.integrations.merge.ties import Ties
from rankwise.models.folder import reason_of
from rankwise.models.quiet import quiet


@dataclass(eq=False)
class Plan:
    """The merged model's tensors, by the model's names where nothing else is said.

    Attributes:
        update: tensor that takes an update -> adapted module.
        whole: tensor -> what replaces it.
        added: name in the merged files that the base's files lack -> tensor.
        apart: names that were one tensor, the changed ones first, and are no longer the same.
    """

    handle: Handle
    names: Names
    ties: Ties
    shards: Shards
    update: Mapping[str, str]
    whole: Mapping[str, Tensor]
    added: Mapping[str, str]
    apart: list[list[str]]
    _last: tuple[Part, torch.dtype | None, Mapping[str, Tensor]] | None = field(default=None, init=False)

    @property
    def changed(self) -> set[str]:
        """Names in the merged files of what took an update or was replaced."""
        added = {file for file, name in self.added.items() if name in self.update or name in self.whole}
        return added | {file for part in self._parts() for file in part.files}

    def beside(self, file_name: str) -> str:
        """Return a sort key that is equal for tensors of the merged files that are made together."""
        part = self.names.parts.get(file_name)
        return file_name if part is None or part.converter is None or part not in self._parts() else part.key

    def shape(self, file_name: str) -> tuple[int, ...]:
        """Return the shape of a tensor of the merged files."""
        name = self.added.get(file_name)
        if name is None:
            return self.shards.entries[file_name].shape
        return tuple(self.handle.model.get_parameter(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        """Return the base's dtype of a tensor that is changed."""
        part = self.names.of.get(self.ties.in_files(name, self.names.of))
        found = self.shards.entries[next(iter(part.files))].dtype if part else None
        return found or self.whole[name].dtype

    def make(self, file_name: str, dtype: torch.dtype | None) -> Tensor:
        """Compute one tensor of the merged files: float32 or wider, one rounding at the end."""
        if file_name in self.added:
            return self._made(self.added[file_name], dtype)
        part = self.names.parts.get(file_name)
        if part is None or part not in self._parts():
            stored = self.shards.read(file_name)
            return stored.to(dtype) if dtype is not None and stored.is_floating_point() else stored
        if part.converter is None:
            return self._made(part.key, dtype)
        if self._last is None or self._last[:2] != (part, dtype):
            self._last = None  # before the next ones are made
            self._check_back(part)
            made = {name: self._made(name, dtype) for name in part.shapes}
            self._last = part, dtype, self.names.back(part, made)
        return self._last[2][file_name]

    def _parts(self) -> set[Part]:
        return {self.names.of[name] for name in (*self.update, *self.whole) if name in self.names.of}

    def _check_back(self, part: Part) -> None:
        """Refuse a way back that does not give the files' own bits when nothing is changed."""
        stored = {name: self.names.read(name) for name in part.shapes}
        for file, tensor in self.names.back(part, stored).items():
            if not torch.equal(tensor, self.shards.read(file)):
                raise UsageError(f"transformers does not give {file} of {self.shards.folder} back as it was read.")

    def _made(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """Compute one tensor of the model."""
        whole = self.whole.get(name)
        stored = self.names.read(self.ties.in_files(name, self.names.of)) if whole is None else whole
        target = dtype or self.dtype(name)
        if name not in self.update:
            return stored.to(target)
        path = self.update[name]
        layer = self.handle.layers[path]
        if isinstance(layer, AdaptedExperts):
            W = layer.changes(self.handle.name)[name.removeprefix(f"{path}.")]
            W += stored
            return W.to(target)
        W0 = orientation.matrix(layer, stored)
        W = self.handle.slots[path].delta(W0)
        W += W0  # in place, and W0 is widened element by element: no third copy
        return orientation.stored(layer, W.to(target))


def skeleton(folder: Path, wide: torch.dtype) -> Any:
    """Build the model of a folder without any storage.

    Raises:
        UsageError: not a causal language model, or a quantized one.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            if getattr(config, "quantization_config", None) is not None:
                raise UsageError(
                    f"{folder} is quantized, so an update cannot be added to its weights; merge into the model it was "
                    "quantized from, and quantize the result again."
                )
            return AutoModelForCausalLM.from_config(config, dtype=wide, trust_remote_code=False)
    except UsageError:
        raise
    except Exception as error:  # a config can be wrong in as many ways as there are architectures
        raise UsageError(f"cannot build the model {folder}: {reason_of(error)}") from error


def make_plan(model: Any, adapter: Path, names: Names, ties: Ties, shards: Shards) -> Plan:
    """Load ``adapter`` on the skeleton ``model`` and match it to the files.

    Raises:
        UsageError: the adapter does not fit, or the files hold its layers in a way that cannot be written.
    """
    handle = load(model, adapter)
    shape = handle.adapter.parametrization
    if shape.kind != "delta" and not shape.on_stacks:
        raise UsageError(f"{adapter} is not an update of weights (its kind is {shape.kind!r}), so it cannot be merged.")
    if (storage := handle.adapter.storage).quantizes:
        raise UsageError(
            f"{adapter} was trained beside W0 in {storage.name}; added to the unquantized weights it would be another "
            "model. Keep it beside the base, or load it and call merge(), which adds it to what the codes stand for."
        )
    update = {name: path for path in handle.layers for name in _weights(handle, path)}
    whole = _replaced(handle, names, ties)
    apart = ties.changed(update, whole)
    added = [name for name in whole if ties.in_files(name, names.of) not in names.of]
    if apart:
        free = Ties(_untied(model))
        if fixed := [group for group in apart if free.together(group)]:
            raise UsageError(
                f"{adapter} changes {fixed[0][0]}, which is one tensor with {', '.join(fixed[0][1:])} in every "
                f"{type(model).__name__}: they cannot differ. Keep the adapter beside the base."
            )
        # The config says of all of them or of none that they are tied.
        added += [name for group in ties.groups if not free.together(group) for name in group if name not in names.of]
    plan = Plan(handle, names, ties, shards, update, whole, {names.file_name(n): n for n in added}, apart)
    _check(plan, {*update, *whole})
    return plan


def _replaced(handle: Handle, names: Names, ties: Ties) -> dict[str, Tensor]:
    """Return what is replaced; a table under an adapted one is held against the files, as the skeleton has none."""
    overlay = handle.overlay
    if overlay is None:
        return {}
    whole = dict(overlay.tensors)
    own = dict(handle.model.named_parameters(remove_duplicate=False))
    for key, tensor in overlay.copies.items():
        name = key.removeprefix(PREFIX).replace(".base_layer.", ".")
        known = relation(tensor, names.read(ties.in_files(name, names.of)))
        if known == "other":
            raise UsageError(f"{key} in the adapter is not the base's {name}; give the base it was trained on.")
        if known == "grown":
            whole[name] = tensor
            follow(whole, name, own)
    return whole


def _untied(model: Any) -> Any:
    """Build the skeleton that the merged files are read into when their config says that nothing is tied."""
    from transformers import AutoModelForCausalLM

    config = type(model.config).from_dict({**model.config.to_dict(), "tie_word_embeddings": False})
    with quiet(), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _weights(handle: Handle, path: str) -> list[str]:
    """Return the names of the tensors that an adapted module's update goes into."""
    layer = handle.layers[path]
    return [f"{path}.{stack.name}" for stack in orientation.host(layer).stacks(layer)] or [f"{path}.weight"]


def _check(plan: Plan, changed: set[str]) -> None:
    """Refuse what cannot be read, changed or written, before anything is."""
    folder, entries = plan.shards.folder, plan.shards.entries
    for name in sorted(changed):
        expected = tuple(plan.handle.model.get_parameter(name).shape)
        own = plan.ties.in_files(name, plan.names.of)
        part = plan.names.of.get(own)
        if part is None:
            if name in plan.whole:
                continue
            raise UsageError(plan.names.lacks(name, expected))
        if part.shapes[own] != expected:
            raise UsageError(f"{name} in {folder} is {part.shapes[own]}, its config says {expected}.")
        kinds = {entries[file].kind: file for file in part.files}
        if odd := [file for file in part.files if entries[file].dtype is None]:
            raise UsageError(f"{odd[0]} in {folder} is {entries[odd[0]].kind}, which no update can be added to.")
        if len(kinds) > 1:
            raise UsageError(f"{' and '.join(sorted(kinds.values()))} in {folder} make one tensor and differ in dtype.")
        if part.converter is not None:
            plan.names.check_back(part)
