"""From the tensors of a file to the parts of an adapter, every one in its place or none at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import stream_seed
from rankwise.adapters.layers import AdaptedLayer
from rankwise.adapters.overlay import Overlay, differs
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.adapters.peft_config import Terms
from rankwise.adapters.peft_format import PREFIX, key
from rankwise.adapters.reading import START, check_tensors, listed, place_and_dtype
from rankwise.adapters.slot import Slot
from rankwise.adapters.starting import keep
from rankwise.adapters.stored import StoredWeight
from rankwise.errors import UsageError

Tensors = Mapping[str, Tensor]


def build(
    model: nn.Module,
    adapter: Adapter,
    seed: int,
    terms: Terms,
    tensors: Tensors,
    start: Tensors,
    folder: Path,
    *,
    exact: bool,
) -> tuple[dict[str, Slot], dict[str, StoredWeight], Overlay | None]:
    """Build what ``attach.install`` puts on ``model``, which is not changed.

    Args:
        start: of a base-editing init, what ``rankwise_start.safetensors`` holds.
        exact: the adapter's own spec is known, so a module without a pattern has its very scale.

    Raises:
        UsageError: missing or extra tensors (they are listed), another shape, NaN, or files that disagree.
    """
    paths = terms.select(model)
    if not paths:
        wanted = terms.targets if isinstance(terms.targets, str) else ", ".join(terms.targets)
        raise UsageError(f"{folder} adapts {wanted}, which this {type(model).__name__} does not have: another base?")
    places = {path: _keys(model, adapter, terms, path) for path in paths}
    expected = {name: shape for shapes in places.values() for name, shape in shapes.values()}
    rest = check_tensors(expected, tensors, folder)
    overlay = _overlay(model, terms, {name: tensors[name] for name in rest}, folder)
    stream = torch.Generator().manual_seed(stream_seed(seed, "dropout"))
    slots: dict[str, Slot] = {}
    stored: dict[str, StoredWeight] = {}
    for path, shapes in places.items():
        module, factors = model.get_submodule(path), {factor: tensors[name] for factor, (name, _) in shapes.items()}
        if (kept := keep(module, adapter.storage)) is not None:
            stored[path] = kept
        slots[path] = _slot(module, path, adapter, terms, factors, start, stream, folder, exact, kept)
    return slots, stored, overlay


def _keys(model: nn.Module, adapter: Adapter, terms: Terms, path: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return, for every factor of a module, its name and shape in the file."""
    module = model.get_submodule(path)
    embedding = orientation.is_embedding(module)
    if embedding and isinstance(adapter.parametrization, WeightDecomposed):
        raise UsageError(f"{path} is an embedding with DoRA, which cannot be loaded here; merge it with PEFT.")
    d_out, d_in = orientation.shape(module)
    shapes = adapter.parametrization.shapes(d_out, d_in, terms.rank_of(path))
    return {factor: (key(path, factor, embedding=embedding), shape) for factor, shape in shapes.items()}


def _overlay(model: nn.Module, terms: Terms, rest: Tensors, folder: Path) -> Overlay | None:
    """Find the place of whole tensors; any other name is an error."""
    own = dict(model.named_parameters(remove_duplicate=False))
    whole: dict[str, Tensor] = {}
    keys: dict[str, str] = {}
    copies: dict[str, Tensor] = {}
    extra = []
    for name, tensor in rest.items():
        target = name.removeprefix(PREFIX)
        plain = target.replace(".base_layer.", ".")
        module = plain.rpartition(".")[0]
        if not name.startswith(PREFIX) or plain not in own:
            extra.append(name)
        elif tensor.shape != own[plain].shape:
            raise UsageError(
                f"{name} in {folder} is {tuple(tensor.shape)}, this model needs {tuple(own[plain].shape)}; if tokens "
                "were added, resize the base's embeddings first (model.resize_token_embeddings)."
            )
        elif plain != target:  # PEFT saves the table under an adapted embedding too; it must be this base's
            if own[plain].device.type != "meta" and differs(tensor, own[plain]):
                raise UsageError(f"{name} in {folder} is not this model's {plain}; load the base it was trained on.")
            copies[name] = tensor
        elif terms.saves(module):
            whole[plain], keys[plain] = tensor, name
        else:
            extra.append(name)
    if extra:
        raise UsageError(f"{folder} has {len(extra)} tensors this adapter has no place for: {listed(extra)}.")
    if unsaved := [name for name in terms.whole if not any(f".{name}." in f".{t}." or name in t for t in whole)]:
        raise UsageError(f"{folder} lacks the tensors of modules_to_save: {listed(unsaved)}; copy it again.")
    for path in {name.rpartition(".")[0] for name in whole}:
        if isinstance(model.get_submodule(path), AdaptedLayer):
            raise UsageError(f"{folder} replaces {path}, which another adapter on this model adapts; detach that one.")
    return Overlay(model, whole, keys, list(terms.whole), copies) if whole or copies else None


def _slot(
    module: nn.Module,
    path: str,
    adapter: Adapter,
    terms: Terms,
    factors: dict[str, Tensor],
    start: Tensors,
    stream: torch.Generator,
    folder: Path,
    exact: bool,
    stored: StoredWeight | None,
) -> Slot:
    device, wide = place_and_dtype(module)
    frozen: dict[str, Tensor] = {}
    if adapter.init.edits_base:
        factors, frozen = _undouble(factors, start, path, folder)
    scaling = terms.scaling_of(path)
    if exact and (not terms.patterned(path) or math.isclose(scaling, adapter.s, rel_tol=1e-12)):
        scaling = adapter.s  # a file's alpha may be rounded
    return Slot(
        adapter.parametrization,
        module,
        {name: value.to(device, wide) for name, value in factors.items()},
        scaling=scaling,
        dropout=adapter.dropout,
        edits_base=adapter.init.edits_base,
        generator=stream,
        rank=factors["A"].shape[0],
        trains=adapter.freezing.trains(factors),
        origin=None if stored is None else stored.codes,
        start={name: value.to(device, wide) for name, value in frozen.items()},
    )


def _undouble(
    factors: dict[str, Tensor], start: Tensors, path: str, folder: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take A, B, A0 and B0 out of [A; A - A0], [B - B0, B0] and the file of starts."""
    A, B = factors["A"], factors["B"]
    rank = A.shape[0] // 2
    own_B, A0 = start.get(f"{path}.B"), start.get(f"{path}.A_start")
    if own_B is None or A0 is None:
        raise UsageError(f"{folder}/{START} lacks the factors of {path}.")
    B0 = B[:, rank:]
    # The PEFT tensors hold A, A - A0, B - B0 and B0: the two files must tell the same story.
    if not (_is_difference(A[rank:], A[:rank], A0) and _is_difference(B[:, :rank], own_B, B0)):
        raise UsageError(
            f"{folder}/{START} does not belong to adapter_model.safetensors ({path}): a copy went wrong, or another "
            f"program trained the adapter on. In the second case remove {START} and rankwise.json to load it as plain "
            "LoRA."
        )
    return {**factors, "A": A[:rank], "B": own_B}, {"A": A0, "B": B0}


def _is_difference(difference: Tensor, left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(difference, left - right)
