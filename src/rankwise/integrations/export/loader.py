"""An independent reader of exported adapters: json, safetensors and torch, nothing of ours.

It knows PEFT's published layout only, so that a mistake in our own writing and reading cannot agree with itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding, linear


@dataclass
class Read:
    """What a file says: by module (A, B, scale) and magnitudes, and whole tensors by the model's names."""

    factors: dict[str, tuple[Tensor, Tensor, float]] = field(default_factory=dict)
    magnitudes: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)


def read_peft(folder: Path, model: nn.Module) -> Read:
    """Read an adapter in PEFT's layout."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config.get("use_rslora") else config["r"])
    read = Read()
    for name, A in tensors.items():
        path = name.removeprefix("base_model.model.")
        if path.endswith(".lora_A.weight"):
            path = path.removesuffix(".lora_A.weight")
            read.factors[path] = (A, tensors[name.replace("lora_A", "lora_B")], scale)
        elif path.endswith(".lora_embedding_A"):
            path = path.removesuffix(".lora_embedding_A")
            read.factors[path] = (A, tensors[name.replace("embedding_A", "embedding_B")], scale)
        elif path.endswith(".lora_magnitude_vector"):
            read.magnitudes[path.removesuffix(".lora_magnitude_vector")] = A
        elif "lora_" not in path:
            read.whole[path.replace(".base_layer.", ".")] = A
    return read


def merged_logits(model: nn.Module, read: Read, ids: Tensor) -> Tensor:
    """Return the logits of ``model`` with the update added to the weights, in the weights' dtype."""
    own = dict(model.named_parameters(remove_duplicate=False))
    weights = {name: tensor.to(own[name].dtype) for name, tensor in read.whole.items()}
    for path, (A, B, scale) in read.factors.items():
        W = weights.get(f"{path}.weight", own[f"{path}.weight"].detach())
        delta = scale * (B.to(W.dtype) @ A.to(W.dtype))
        turned = _stores_inputs_first(model.get_submodule(path))
        V = W + (delta.T if turned else delta)
        if path in read.magnitudes:
            dim = 0 if turned else 1
            gain = read.magnitudes[path].to(W.dtype) / torch.linalg.vector_norm(V, dim=dim)
            V = V * (gain if turned else gain[:, None])
        weights[f"{path}.weight"] = V
    result: Any = functional_call(model, weights, kwargs={"input_ids": ids, "use_cache": False}, tie_weights=False)
    return result.logits


def beside_logits(model: nn.Module, read: Read, ids: Tensor) -> Tensor:
    """Return the logits with the update computed beside the weights, as servers do, in the model's dtype."""
    if read.magnitudes or read.whole:
        return merged_logits(model, read, ids)
    dtype = next(model.parameters()).dtype
    hooks = []
    for path, (A, B, scale) in read.factors.items():
        hooks.append(
            model.get_submodule(path).register_forward_hook(_adding(A.to(dtype), (scale * B.double()).to(dtype)))
        )
    try:
        result: Any = model(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return result.logits


def _adding(A: Tensor, B: Tensor) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        inner = linear(x, A) if x.is_floating_point() else embedding(x, A.T)
        return output + linear(inner, B)

    return hook


def _stores_inputs_first(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding) or any(base.__name__ == "Conv1D" for base in type(module).__mro__)
