"""What merging changes: file tensor by file tensor, found on an empty skeleton of the model.

The adapter is loaded on a model without storage (the meta device), by the same strict :func:`rankwise.load` as on a
real one; then every tensor of the files is one of: untouched, plus an update, replaced (modules_to_save).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import Handle, load, orientation
from rankwise.errors import UsageError
from rankwise.integrations.merge.shards import Entry, Shards
from rankwise.models.folder import reason_of
from rankwise.models.quiet import quiet


@dataclass(frozen=True, eq=False)
class Plan:
    """The merged model's tensors.

    Attributes:
        source: name in the merged files -> name in the base's files.
        update: name in the merged files -> adapted module.
        whole: name in the merged files -> the tensor that replaces it.
        whole_names: the model's name of each of those -> name in the merged files.
        untied: the output head was tied to the embedding and only one of the two changes.
    """

    handle: Handle
    source: Mapping[str, str]
    update: Mapping[str, str]
    whole: Mapping[str, Tensor]
    whole_names: Mapping[str, str]
    untied: bool

    def make(self, name: str, shards: Shards, dtype: torch.dtype | None) -> Tensor:
        """Compute one tensor: float32 or wider, one rounding at the end."""
        if name in self.whole:
            stored = self.whole[name]
            return stored.to(dtype or stored.dtype)
        stored = shards.read(self.source[name])
        target = dtype if dtype is not None and stored.is_floating_point() else stored.dtype
        if name not in self.update:
            return stored.to(target)
        path = self.update[name]
        layer = self.handle.layers[path]
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
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise UsageError(f"cannot build the model {folder}: {reason_of(error)}") from error


def make_plan(model: Any, adapter: Path, shards: Shards) -> Plan:
    """Load ``adapter`` on the skeleton ``model`` and match it to the files.

    Raises:
        UsageError: the adapter does not fit, or the files name their tensors in another way.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and embedding is not None and head.weight is embedding.weight
    paths = {id(module): path for path, module in model.named_modules()}
    handle = load(model, adapter)
    kind = handle.adapter.parametrization.kind
    if kind != "delta":
        raise UsageError(f"{adapter} is not an update of weights (its kind is {kind!r}), so it cannot be merged.")
    if (storage := handle.adapter.storage).quantizes:
        raise UsageError(
            f"{adapter} was trained beside W0 in {storage.name}; added to the unquantized weights it would be another "
            "model. Keep it beside the base, or load it and call merge(), which adds it to what the codes stand for."
        )
    names = {path: _file_name(f"{path}.weight", shards.entries, model) for path in handle.layers}
    replaced = handle.overlay.tensors if handle.overlay else {}
    whole_names = {name: _file_name(name, shards.entries, model) or name for name in replaced}
    whole = {whole_names[name]: tensor for name, tensor in replaced.items()}
    update = {name: path for path, name in names.items() if name is not None}
    source = {name: name for name in shards.entries}
    untied = False
    if tied:
        embed_path, head_path = paths[id(embedding)], paths[id(head)]
        embed_file = _file_name(f"{embed_path}.weight", shards.entries, model)
        head_file = _file_name(f"{head_path}.weight", shards.entries, model)
        table = embed_file or head_file
        changed = {embed_path, head_path} & {*handle.layers, *(n.rpartition(".")[0] for n in replaced)}
        if changed and table is not None:
            untied = True
            for path, file in ((embed_path, embed_file), (head_path, head_file)):
                name = file or f"{path}.weight"
                source.setdefault(name, table)
                if path in handle.layers:
                    update[name] = path
    missing = [path for path in handle.layers if path not in update.values()]
    if missing:
        raise UsageError(
            f"{shards.folder} has no tensor {missing[0]}.weight: its files name their tensors in another way; load it "
            "with transformers and save it again with save_pretrained."
        )
    _check_shapes(handle, update, source, shards)
    return Plan(handle, {n: s for n, s in source.items() if n not in whole}, update, whole, whole_names, untied)


def _file_name(name: str, entries: Mapping[str, Entry], model: Any) -> str | None:
    """Find a parameter in the files, with the base model's prefix (``transformer.``) or without it."""
    prefix = f"{model.base_model_prefix}."
    for candidate in (name, name.removeprefix(prefix), f"{prefix}{name}"):
        if candidate in entries:
            return candidate
    return None


def _check_shapes(handle: Handle, update: Mapping[str, str], source: Mapping[str, str], shards: Shards) -> None:
    for name, path in update.items():
        entry = shards.entries[source[name]]
        expected = tuple(handle.layers[path].weight.shape)
        if entry.shape != expected:
            raise UsageError(f"{source[name]} in {shards.folder} is {entry.shape}, its config says {expected}.")
        if entry.dtype is None:
            raise UsageError(f"{source[name]} in {shards.folder} is {entry.kind}, which no update can be added to.")
