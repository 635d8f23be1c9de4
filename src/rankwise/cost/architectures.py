"""Sizes of well-known models, so that their cost can be told with no file and no network.

Only what decides shapes is here. The sizes are facts from each model's public config; ``tests/cost`` holds every entry
against the parameter count its makers publish.
"""

from __future__ import annotations

import re
from typing import Any

Config = dict[str, Any]


def _llama(
    hidden: int, layers: int, heads: int, kv: int, ffn: int, vocab: int = 32000, *, positions: int, **more: Any
) -> Config:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "tie_word_embeddings": False,
        **more,
    }


ARCHITECTURES: dict[str, Config] = {
    "LLaMA-2-7B": _llama(4096, 32, 32, 32, 11008, positions=4096),
    "LLaMA-2-13B": _llama(5120, 40, 40, 40, 13824, positions=4096),
    "LLaMA-2-70B": _llama(8192, 80, 64, 8, 28672, positions=4096),
    "Llama-3.1-8B": _llama(4096, 32, 32, 8, 14336, 128256, positions=131072),
    "Llama-3.2-1B": _llama(2048, 16, 32, 8, 8192, 128256, positions=131072, tie_word_embeddings=True),
    "Mistral-7B-v0.1": _llama(4096, 32, 32, 8, 14336, positions=32768, model_type="mistral"),
    "Qwen2.5-0.5B": _llama(896, 24, 14, 2, 4864, 151936, positions=32768, model_type="qwen2", tie_word_embeddings=True),
    "Qwen2.5-7B": _llama(3584, 28, 28, 4, 18944, 152064, positions=131072, model_type="qwen2"),
    "Qwen3-8B": _llama(4096, 36, 32, 8, 12288, 151936, positions=40960, model_type="qwen3", head_dim=128),
    "Gemma-2-2B": _llama(
        2304, 26, 8, 4, 9216, 256000, positions=8192, model_type="gemma2", head_dim=256, tie_word_embeddings=True
    ),
    "SmolLM2-135M": _llama(576, 30, 9, 3, 1536, 49152, positions=8192, tie_word_embeddings=True),
    "GPT-2": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
        "vocab_size": 50257,
        "tie_word_embeddings": True,
    },
}

# Tuned versions have the shapes of their base. Mistral's v0.3 has a larger vocabulary and is not an alias.
_ALIASES = {"gpt2": "gpt-2", "mistral-7b": "mistral-7b-v0.1", "mistral-7b-v0.2": "mistral-7b-v0.1"}


def known(name: str) -> str | None:
    """Return the table's name for ``name``, or None.

    >>> known("meta-llama/Meta-Llama-3.1-8B-Instruct"), known("gpt2"), known("Llama-9")
    ('Llama-3.1-8B', 'GPT-2', None)
    """
    short = re.sub(r"-(hf|instruct|chat|it|base)(?=-|$)", "", name.rsplit("/", 1)[-1].lower()).removeprefix("meta-")
    short = _ALIASES.get(short, short)
    return next((canonical for canonical in ARCHITECTURES if canonical.lower() == short), None)
