"""A float32 GGUF of a live model, so that what llama.cpp computes is comparable to ours to a few digits.

llama.cpp rounds activations to 8 bits where weights are quantized; with these weights it does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf

from rankwise.integrations.export.llama_cpp import _ARCHITECTURES


def write(model: Any, out: Path, like: Path | None = None) -> Path:
    """Write ``model``; metadata and tokenizer come from the GGUF ``like``, or are a byte tokenizer's."""
    config = model.config
    kind, reordered = _ARCHITECTURES[config.model_type]
    architecture = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    writer = gguf.GGUFWriter(out, kind)
    if like is None:
        _describe(writer, config)
    else:
        _copy_metadata(writer, like)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        tensor = parameter.detach().float()
        module = model.get_submodule(name.rpartition(".")[0])
        if type(module).__name__ == "Conv1D" and tensor.dim() == 2:
            tensor = tensor.T
        for ending in ("q_proj.", "k_proj.") if reordered else ():
            if ending in name:
                heads = config.num_attention_heads if ending == "q_proj." else config.num_key_value_heads
                tensor = tensor.reshape(heads, 2, -1, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _describe(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(width)
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    special = config.vocab_size - 256
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<0x{byte:02X}>" for byte in range(256)] + [f"<special {n}>" for n in range(special)])
    writer.add_token_scores([0.0] * config.vocab_size)
    writer.add_token_types([gguf.TokenType.BYTE] * 256 + [gguf.TokenType.CONTROL] * special)
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)


def _copy_metadata(writer: gguf.GGUFWriter, like: Path) -> None:
    for field in gguf.GGUFReader(like).fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)
