"""Useful floating-point operations of a run: real tokens only, nothing recomputed (docs/design/engine.md#operations).

    adapter: tok (4 N_lin - 2 N_below + 6 N_adapter) + targets 4 V d + 6 d_attn sum S^2
    full:    tok  6 N_lin                            + targets 6 V d + 6 d_attn sum S^2

Forward is 2 operations a weight, the gradient of the input 2, the gradient of the weight 2 (trained weights only).
``N_below`` are linear weights whose input needs no gradient: those in front of the first adapted module and those
that share its input. Causal attention reads half of the S x S scores, in two products, forward and twice backward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rankwise.cost.shape import ModelShape

_SHARE_INPUT = ({"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"})


@dataclass(frozen=True)
class Workload:
    """What a run reads: real tokens, tokens in the loss, and the sum of squared lengths."""

    tokens: int = 0
    targets: int = 0
    squared: int = 0

    def __add__(self, other: Workload) -> Workload:
        return Workload(self.tokens + other.tokens, self.targets + other.targets, self.squared + other.squared)


def full_flops(shape: ModelShape, work: Workload) -> int:
    """Operations of full fine-tuning over ``work``."""
    return work.tokens * 6 * shape.linear_weights + work.targets * 6 * shape.head + 6 * shape.attention * work.squared


def adapter_flops(shape: ModelShape, work: Workload, adapted: list[str], products: int) -> int:
    """Operations of adapter training over ``work``.

    Args:
        adapted: dotted names of the adapted modules.
        products: multiply-add weights on the adapter path of all modules, each used forward and twice backward.
    """
    per_token = 4 * shape.linear_weights - 2 * _below(shape, adapted) + 6 * products
    return work.tokens * per_token + work.targets * 4 * shape.head + 6 * shape.attention * work.squared


def evaluation_flops(shape: ModelShape, work: Workload, products: int = 0) -> int:
    """Operations of one forward pass over ``work``."""
    forward = 2 * (shape.linear_weights + products)
    return work.tokens * forward + work.targets * 2 * shape.head + 2 * shape.attention * work.squared


def _below(shape: ModelShape, adapted: list[str]) -> int:
    names = list(shape.linear)
    known = [name for name in names if name in set(adapted)]
    if not known:
        return shape.linear_weights
    first = known[0]
    parent, _, leaf = first.rpartition(".")
    group = next((g for g in _SHARE_INPUT if leaf in g), {leaf})
    below = set(names[: names.index(first)]) | {f"{parent}.{n}" if parent else n for n in group}
    return sum(math.prod(shape.linear[name]) for name in names if name in below)
