"""Tiny models of the shapes that differ: grouped queries, biases, Conv1D, sliding window, caps, learned positions."""

import torch

from rankwise.models import tiny_model

KINDS = ("llama", "qwen2", "gpt2", "gemma2", "opt")
_IDS = {"vocab_size": 259, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}


def model(kind, dtype=torch.float64, **changes):
    """Return a random frozen model in eval mode."""
    if kind in ("llama", "qwen2", "gpt2"):
        return tiny_model(kind=kind, dtype=dtype).requires_grad_(False).eval()
    from transformers import Gemma2Config, Gemma2ForCausalLM, OPTConfig, OPTForCausalLM

    if kind == "gemma2":
        config = Gemma2Config(
            **{
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "sliding_window": 8,
                "attn_logit_softcapping": 2.0,
                "final_logit_softcapping": 3.0,
                "attn_implementation": "eager",
                **_IDS,
                **changes,
            }
        )
        kind_class = Gemma2ForCausalLM
    else:
        config = OPTConfig(
            hidden_size=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=256,
            word_embed_proj_dim=32,
            dropout=0.0,
            attention_dropout=0.0,
            **_IDS,
        )
        kind_class = OPTForCausalLM
    built = kind_class(config).to(dtype)
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, p in sorted(built.named_parameters()):
            p.copy_(0.2 * torch.randn(p.shape, generator=stream, dtype=torch.float64))
    return built.requires_grad_(False).eval()


def batch(lengths, seed=0, vocabulary=259, prompt=3):
    """Return a batch of random tokens; all after the first ``prompt`` of a sequence are targets."""
    from rankwise.data import Encoded
    from rankwise.engine.batches import collate

    stream = torch.Generator().manual_seed(seed)
    rows = [torch.randint(vocabulary, (n,), generator=stream).tolist() for n in lengths]
    return collate([Encoded(tuple(row), tuple(t >= prompt for t in range(len(row)))) for row in rows])


def moved(handle, seed=0, by=0.05):
    """Move an adapter off its start, or half of its gradients are zero."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in handle.trainable().values():
            p.add_(by * torch.randn(p.shape, generator=stream, dtype=torch.float64).to(p.dtype))
    return handle
