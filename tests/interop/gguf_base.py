"""A float32 GGUF of a live Llama, with the metadata and tokenizer of an existing GGUF of the same model.

llama.cpp rounds activations to 8 bits when weights are quantized; with these weights its logits are comparable to
better than a percent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch


def write(model: Any, like: Path, out: Path) -> Path:
    reader = gguf.GGUFReader(like)
    writer = gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        tensor = parameter.detach().float()
        for ending, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if f"{ending}." in name:
                tensor = torch.cat(
                    [h.reshape(2, -1, h.shape[1]).transpose(0, 1).flatten(0, 1) for h in tensor.chunk(heads)]
                )
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
