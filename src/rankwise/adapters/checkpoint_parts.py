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
from rankwise.adapters.checkpoint_files import START, check_tensors, place_and_dtype
from rankwise.adapters.initialization import keep
from rankwise.adapters.overlay import Overlay
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.adapters.peft_config import Terms
from rankwise.adapters.peft_format import key
from rankwise.adapters.quantized_weight import StoredWeight
from rankwise.adapters.slot import Slot
from rankwise.adapters.whole import check_vocabulary, overlay_of
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
        if terms.narrowed:
            wanted += " (but for exclude_modules, in layers_to_transform)"
        raise UsageError(f"{folder} adapts {wanted}, which this {type(model).__name__} does not have: another base?")
    check_vocabulary(model, tensors, folder)
    places = {path: _keys(model, adapter, terms, path) for path in paths}
    expected = {name: shape for shapes in places.values() for name, shape in shapes.values()}
    rest = check_tensors(expected, tensors, folder)
    overlay = overlay_of(model, terms, {name: tensors[name] for name in rest}, folder)
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
