"""A tiny random model of every causal family that transformers can build from a small configuration."""

from __future__ import annotations

import contextlib
import inspect
import io
from typing import Any

import torch

# Whatever a config calls its sizes: the names that it knows of these are set.
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size", "emb_dim"), 32),
    **dict.fromkeys(("n_layer", "num_hidden_layers", "num_layers", "n_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("n_head", "n_heads", "num_heads", "num_attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size"), 48),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 512),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 24),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("n_shared_experts", "n_group", "topk_group"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "rotary_dim"), 8),
    "num_key_value_heads": 2,
    "vocab_size": 264,
    "vocab_size_per_layer_input": 264,
    "hidden_size_per_layer_input": 8,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
    "is_decoder": True,
}
_HEADS = {"num_key_value_heads": 4}  # every head has keys and values of its own
_ONE_EXPERT = {"num_experts_per_tok": 1}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"image_size": 32, "patch_size": 8, "vision_use_head": False},
}
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_state": 16}
_SHARED = {**_HEADS, "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2}
# What a family needs besides, or otherwise.
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "youtu"), _HEADS),
    **dict.fromkeys(("glm_moe_dsa", "minicpm3", "dots3_note", "dots3_note_text"), _HEADS),
    **dict.fromkeys(("bamba", "granitemoehybrid"), _MAMBA2),
    "gemma3": {"vision_config": _SIGLIP, "mm_tokens_per_image": 4},
    "gemma3n_text": {"num_kv_shared_layers": 0, "laurel_rank": 8, "activation_sparsity_pattern": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "kimi_linear": {"linear_head_dim": 8, "linear_num_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": {**_HEADS, "zero_expert_num": 2, "ffn_hidden_size": 48},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "state_size": 16},
    "roc_bert": {"shape_vocab_size": 264, "pronunciation_vocab_size": 264},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 32], "attn_layers": ["local"] * 2},
    "zamba": _SHARED,
    "zamba2": {**_SHARED, "n_mamba_heads": 8},
    "zaya": _ONE_EXPERT,
}


def families() -> list[str]:
    """Return every model type that ``AutoModelForCausalLM`` knows."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name in CONFIG_MAPPING]


def config_of(family: str) -> Any:
    """Return a small config of ``family``."""
    from transformers import CONFIG_MAPPING

    return _small(CONFIG_MAPPING[family], OWN.get(family, {}))


def _small(kind: Any, own: dict[str, Any]) -> Any:
    known = set(inspect.signature(kind.__init__).parameters) | set(getattr(kind, "attribute_map", {}))
    sizes = {name: value for name, value in SMALL.items() if name in known}
    inside = {name: _small(sub, {}) for name, sub in kind.sub_configs.items() if sub.__name__ != "AutoConfig"}
    return kind(**{**sizes, **inside, **own})


def tiny_family(family: str, largest: int = 3_000_000) -> Any:
    """Build a model of ``family`` with random weights, biases and gains, in eval mode.

    Raises:
        ValueError: it would be larger than ``largest`` parameters; or whatever its config raises.
    """
    from transformers import AutoModelForCausalLM

    with contextlib.redirect_stderr(io.StringIO()), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = config_of(family)
        with torch.device("meta"):
            size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        if size > largest:
            raise ValueError(f"{size} parameters")
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return model
