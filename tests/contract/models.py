"""Tiny bases in float64, made in code: a plain torch model, a Llama with grouped keys and values, a GPT-2.

Weights are large on purpose (standard deviation 0.3), so that a mistake in an update shows in the outputs.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


@dataclass(frozen=True)
class Tiny:
    """One base: ``make`` gives a fresh copy in eval mode; ``shapes`` is (d_out, d_in) by module."""

    name: str
    prototype: Callable[[], nn.Module]
    inputs: Tensor
    shapes: dict[str, tuple[int, int]]

    def make(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        prototype = self.prototype()
        config = getattr(prototype, "config", None)  # shared between the copies: no test writes it, and it is slow
        return copy.deepcopy(prototype, {id(config): config}).to(dtype)


def outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits of a Hugging Face model, or what a plain module returns."""
    return logits_of(model(inputs.to(next(model.parameters()).dtype) if inputs.is_floating_point() else inputs))


def logits_of(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result.logits


def _seeded(seed: int) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Build once, without touching the global random stream of the test that asks first."""

    def decorate(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        @functools.cache
        def prototype() -> nn.Module:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                return build().double().eval()

        return prototype

    return decorate


@_seeded(1)
def _sequential() -> nn.Module:
    model = nn.Sequential(
        nn.Linear(8, 12), nn.Tanh(), nn.Sequential(nn.Linear(12, 12, bias=False), nn.Tanh()), nn.Linear(12, 6)
    )
    return model


@_seeded(2)
def _llama() -> nn.Module:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        tie_word_embeddings=True,
        max_position_embeddings=32,
    )
    return LlamaForCausalLM(config)


@_seeded(3)
def _gpt2() -> nn.Module:
    config = GPT2Config(
        vocab_size=32,
        n_embd=16,
        n_layer=2,
        n_head=4,
        n_positions=32,
        initializer_range=0.3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def _blocks(prefix: str, block: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {f"{prefix}.{layer}.{name}": shape for layer in range(2) for name, shape in block.items()}


_IDS = torch.tensor([[1, 5, 9, 2, 7, 7], [30, 3, 4, 11, 0, 6]])
_LLAMA_BLOCK = {
    "self_attn.q_proj": (16, 16),
    "self_attn.k_proj": (8, 16),  # two key-value heads for four query heads
    "self_attn.v_proj": (8, 16),
    "self_attn.o_proj": (16, 16),
    "mlp.gate_proj": (24, 16),
    "mlp.up_proj": (24, 16),
    "mlp.down_proj": (16, 24),
}
_GPT2_BLOCK = {"attn.c_attn": (48, 16), "attn.c_proj": (16, 16), "mlp.c_fc": (64, 16), "mlp.c_proj": (16, 64)}

SEQUENTIAL = Tiny(
    "sequential",
    _sequential,
    torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4)),
    {"0": (12, 8), "2.0": (12, 12), "3": (6, 12)},
)
LLAMA = Tiny("llama", _llama, _IDS, _blocks("model.layers", _LLAMA_BLOCK))
GPT2 = Tiny("gpt2", _gpt2, _IDS, _blocks("transformer.h", _GPT2_BLOCK))
MODELS = (SEQUENTIAL, LLAMA, GPT2)
