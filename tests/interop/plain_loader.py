"""A plain loader: safetensors, json and torch, no rankwise, no peft. It knows PEFT's layout and nothing else."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file


def merge_into(model, folder):
    """Add the adapter in ``folder`` to the weights of ``model``."""
    config = json.loads(Path(folder, "adapter_config.json").read_text())
    tensors = load_file(Path(folder, "adapter_model.safetensors"))
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    with torch.no_grad():
        for key in tensors:
            path = key.removeprefix("base_model.model.")
            if "lora" not in path:
                model.get_parameter(path).copy_(tensors[key])
            if not path.endswith(".lora_A.weight"):
                continue
            module = model.get_submodule(path.removesuffix(".lora_A.weight"))
            stem = key.removesuffix("lora_A.weight")
            delta = scale * tensors[stem + "lora_B.weight"].double() @ tensors[key].double()
            W = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
            new = W.double() + delta  # rounded once, by copy_
            if config.get("use_dora"):
                m = tensors[stem + "lora_magnitude_vector"].double()
                new = new * (m / new.norm(dim=1))[:, None]
            module.weight.copy_(new if isinstance(module, torch.nn.Linear) else new.T)
    return model
