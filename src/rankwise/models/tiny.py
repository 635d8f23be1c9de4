"""Tiny random causal language models, built in code, for tests and smoke studies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from rankwise.errors import unknown
from rankwise.models.byte_tokenizer import VOCABULARY

if TYPE_CHECKING:
    import torch

Kind = Literal["llama", "gpt2", "qwen2", "gemma2", "opt"]
_SPREAD = 0.1  # near 1/sqrt(width): large enough that the logits depend on every earlier token


def tiny_model(
    seed: int = 0,
    kind: Kind = "llama",
    vocab: int = VOCABULARY,
    dtype: torch.dtype | None = None,
    *,
    tied: bool = True,
) -> Any:
    """Build a 2-layer causal language model with random weights, in eval mode.

    The weights are a function of seed, kind, vocab and tied only, whatever the torch version's own
    initialization does. Biases and norms are random too, so that dropping one is noticed.

    Args:
        seed: of the weights.
        kind: ``llama`` (width 64, 4 heads, 2 kv heads), ``qwen2`` (width 48, the same heads, q/k/v biases),
            ``gpt2`` (width 32, fused q/k/v in Conv1D layers, learned positions), ``gemma2`` (width 48, every second
            layer sees 64 tokens back, logits are capped) or ``opt`` (width 32, learned positions, biases).
        vocab: rows of the embedding.
        dtype: float32 when left out. Rotary tables and Llama's norms compute in float32 in any case.
        tied: whether the output layer is the embedding.

    Raises:
        UsageError: unknown ``kind``.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):  # building draws from the global generator; we draw our own below
        model = AutoModelForCausalLM.from_config(_config(kind, vocab, tied), dtype=dtype or torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            center = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0  # a norm's gain
            parameter.copy_(center + _SPREAD * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _config(kind: str, vocab: int, tied: bool) -> Any:
    from transformers import Gemma2Config, GPT2Config, LlamaConfig, OPTConfig, Qwen2Config

    ids = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257} if vocab >= VOCABULARY else {}
    common = {"vocab_size": vocab, "tie_word_embeddings": tied, **ids}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    if kind == "llama":
        return LlamaConfig(hidden_size=64, intermediate_size=128, max_position_embeddings=2048, **heads, **common)
    if kind == "qwen2":
        return Qwen2Config(hidden_size=48, intermediate_size=96, max_position_embeddings=2048, **heads, **common)
    if kind == "gpt2":
        dropouts = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}  # a base adds no noise of its own
        return GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=1024, **dropouts, **common)
    if kind == "gemma2":
        sizes = {"hidden_size": 48, "intermediate_size": 96, "head_dim": 16, "query_pre_attn_scalar": 16}
        return Gemma2Config(sliding_window=64, max_position_embeddings=2048, **sizes, **heads, **common)
    if kind == "opt":
        sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
        no_noise = {"dropout": 0.0, "attention_dropout": 0.0, "layerdrop": 0.0}
        return OPTConfig(num_attention_heads=4, max_position_embeddings=1024, **sizes, **no_noise, **common)
    raise unknown("kind of tiny model", kind, get_args(Kind))
