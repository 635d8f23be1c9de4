"""Whole tensors in an adapter's file: which of the model's each stands for.

PEFT writes them for ``modules_to_save``; by itself, both tables of a model whose vocabulary was resized before
training; and the table under an adapted embedding. What it reads, it puts into the model, tied tensors included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rankwise.adapters.checkpoint_files import listed
from rankwise.adapters.layers import AdaptedLayer
from rankwise.adapters.overlay import Overlay, relation
from rankwise.adapters.peft_config import Terms
from rankwise.adapters.peft_format import PREFIX
from rankwise.errors import UsageError

Tensors = Mapping[str, Tensor]
_WRAPPED = re.compile(r"\.(modules_to_save|original_module)(?=\.)")
_TABLES = ("weight", "base_layer.weight", "lora_embedding_A", "lora_B.weight")


def overlay_of(model: nn.Module, terms: Terms, rest: Tensors, folder: Path) -> Overlay | None:
    """Find the place of the tensors ``rest`` that are no factors; a name without a place is an error."""
    own = dict(model.named_parameters(remove_duplicate=False))
    ends = set(table_paths(model))
    whole: dict[str, Tensor] = {}
    keys: dict[str, str] = {}
    copies: dict[str, Tensor] = {}
    followed: list[str] = []
    extra = []
    for name, tensor in rest.items():
        target = name.removeprefix(PREFIX)
        plain = target.replace(".base_layer.", ".")
        module = plain.rpartition(".")[0]
        if _WRAPPED.sub("", name) != name and _WRAPPED.sub("", name) in rest:
            continue  # PEFT's own copies of a table that the file has under its name
        if not name.startswith(PREFIX) or plain not in own:
            extra.append(name)
        elif tensor.shape != own[plain].shape:
            raise UsageError(
                f"{name} in {folder} is {tuple(tensor.shape)}, this model needs {tuple(own[plain].shape)}."
            )
        elif plain != target:  # the table under an adapted one; it must be this base's, but for new rows at its end
            known = "same" if own[plain].device.type == "meta" else relation(tensor, own[plain])
            if known == "other":
                raise UsageError(f"{name} in {folder} is not this model's {plain}; load the base it was trained on.")
            copies[name] = tensor
            if known == "grown":
                whole[plain], keys[plain] = tensor, name
                followed.append(plain)
        elif terms.saves(module, model):
            whole[plain], keys[plain] = tensor, name
        elif module in ends:
            whole[plain], keys[plain] = tensor, name
            followed.append(plain)
        else:
            extra.append(name)
    if extra:
        raise UsageError(f"{folder} has {len(extra)} tensors this adapter has no place for: {listed(extra)}.")
    if unsaved := [name for name in terms.whole if not any(f".{name}." in f".{t}." or name in t for t in whole)]:
        raise UsageError(f"{folder} lacks the tensors of modules_to_save: {listed(unsaved)}; copy it again.")
    for path in {name.rpartition(".")[0] for name in whole}:
        if isinstance(model.get_submodule(path), AdaptedLayer):
            raise UsageError(f"{folder} replaces {path}, which another adapter on this model adapts; detach that one.")
    for plain in followed:
        follow(whole, plain, own)
    copies = {name: tensor for name, tensor in copies.items() if name not in keys.values()}
    return Overlay(model, whole, keys, list(terms.whole), copies) if whole or copies else None


def follow(whole: dict[str, Tensor], plain: str, own: Mapping[str, Tensor]) -> None:
    """Replace what is tied to ``plain`` too: PEFT writes such a table into the base itself."""
    for name, parameter in own.items():
        if parameter is own[plain]:
            whole.setdefault(name, whole[plain])


def table_paths(model: nn.Module) -> list[str]:
    """Return the paths of the input embedding and of the output head."""
    ends = [getattr(model, f"get_{side}_embeddings", lambda: None)() for side in ("input", "output")]
    paths = {id(module): path for path, module in model.named_modules()}
    return [paths[id(end)] for end in ends if id(end) in paths]


def check_vocabulary(model: Any, tensors: Tensors, folder: Path) -> None:
    """Say what to do when the adapter knows more tokens than the model.

    Raises:
        UsageError: a table or a factor of one has another number of rows than the model's.
    """
    for path in table_paths(model):
        rows = len(model.get_submodule(path).weight)
        for part in _TABLES:
            tensor = tensors.get(f"{PREFIX}{path}.{part}")
            if tensor is None:
                continue
            found = tensor.shape[1 if part == "lora_embedding_A" else 0]
            if found != rows:
                raise UsageError(
                    f"{PREFIX}{path}.{part} in {folder} is {tuple(tensor.shape)}: it knows {found} tokens, this model "
                    f"{rows}. The vocabulary was resized before training: load the base with transformers, "
                    f"model.resize_token_embeddings({found}), model.save_pretrained(FOLDER), put the tokenizer beside "
                    "it and give FOLDER as the base."
                )
