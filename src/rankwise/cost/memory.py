"""Memory of training, by part, in bytes.

Weights, gradients and optimizer state are exact: they are what the engine holds at the end of a step, before
gradients are dropped, before events of the adapter changed anything (what they remember and merge is not counted).
Activations and logits are estimates for one pass, without recomputation:

    activations = tokens (b (kept inputs + outputs of linear modules) + 4 (widths of norms)) + b (adapter parameters)
    logits      = rows V (b + 8), or 8 rows V in float32

``b`` is the bytes of the compute dtype. A linear module's output is kept by what follows it; its input is kept once
for a gradient of its weight, so under an adapter only where it is adapted and what multiplies the input trains (beside
a frozen A, LoRA-FA keeps A x alone), and modules in front of the first adapted one keep nothing. Norms keep their input
in float32. Attention keeps no scores (the engine's own does, on a CPU: see :func:`probability_bytes`, heads S^2 a layer
and sequence). Float32 factors are cast to ``b`` bytes.
Logits are held in the compute dtype, as float32 log-probabilities and as their gradient.

On SmolLM2-135M (8 x 128 tokens, LoRA r=16, bfloat16, CPU) autograd keeps 702 MB of activations where this says 681. The
process peaked 0.7 GB above the sum of all parts: temporaries, and what the allocator does not give back.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from rankwise.adapters import Adapter, Full
from rankwise.adapters.parametrizations import LowRank
from rankwise.cost.count import adapter_parameters, frozen_parameters, optimizer_numbers
from rankwise.cost.shape import ModelShape

PARTS = (
    "frozen base",
    "trained copy",
    "adapter",
    "frozen start",
    "master weights",
    "gradients",
    "optimizer",
    "activations",
    "logits",
)
ESTIMATED = ("activations", "logits")
FORMULAS = {
    "activations": "tokens x (b x (kept inputs + outputs of linear modules) + 4 x widths of norms) + b x adapter",
    "logits": "rows x vocabulary x (b + 8), or 8 in float32",
}
_SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}  # read the same input


def state_bytes(model: nn.Module, target: Adapter | Full) -> dict[str, int]:
    """Return the exact bytes of weights, gradients and optimizer state, by part of :data:`PARTS`.

    Full fine-tuning trains a private copy while the base stays for the other arms; an event that owns the base has one
    of the adapted weights, with masters. Trained values, their gradients and
    AdamW's two moments are float32, or float64 on a float64 base; a low-precision copy has float32 masters beside it.
    """
    base = sum(p.numel() * p.element_size() for p in model.parameters())
    if isinstance(target, Full):
        wide = sum(p.numel() * max(4, p.element_size()) for p in model.parameters())
        masters = sum(4 * p.numel() for p in model.parameters() if p.element_size() < 4)
        copy = {"frozen base": base, "trained copy": base, "master weights": masters}
        return {**copy, "gradients": wide, "optimizer": 2 * wide}
    counts = (adapter_parameters(model, target), frozen_parameters(model, target), optimizer_numbers(model, target))
    trained, frozen, moments = (
        sum(count * max(4, next(model.get_submodule(name).parameters()).element_size()) for name, count in of.items())
        for of in counts
    )
    own: dict[str, int] = {}
    if target.owns_base:
        weights = [next(model.get_submodule(name).parameters()) for name in counts[0]]
        own["trained copy"] = sum(w.numel() * w.element_size() for w in weights)
        own["master weights"] = sum(w.numel() * max(4, w.element_size()) for w in weights)
    return {
        **{"frozen base": base, **own, "adapter": trained, "frozen start": frozen},
        **{"gradients": trained, "optimizer": moments},
    }


def pass_bytes(
    model: nn.Module, shape: ModelShape, target: Adapter | Full, tokens: int, rows: int, itemsize: int
) -> dict[str, int]:
    """Return the estimated bytes of one pass of ``tokens`` tokens whose head is applied to ``rows`` of them."""
    vocabulary, hidden = _head(model)
    counts = adapter_parameters(model, target) if isinstance(target, Adapter) else dict.fromkeys(shape.linear, 0)
    adapted, names = set(counts), list(shape.linear)
    first = next((i for i, name in enumerate(names) if name in adapted), len(names))
    kept: dict[str, int] = {}
    outputs = 0
    for name in names[first:]:
        d_out, d_in = shape.linear[name]
        outputs += d_out
        if name in adapted and _reads_input(target):
            parent, dot, leaf = name.rpartition(".")
            kept[f"{parent}{dot}{_SHARED.get(leaf, leaf)}"] = d_in
    inner = _inner(target, len(adapted))
    norms = sum(
        p.numel()
        for module in model.modules()
        if "Norm" in type(module).__name__
        for name, p in module.named_parameters(recurse=False)
        if name == "weight"
    )
    per_token = itemsize * (sum(kept.values()) + outputs + inner + hidden) + 4 * norms
    casts = itemsize * sum(counts.values()) if itemsize < 4 else 0
    per_row = vocabulary * (itemsize + 8 if itemsize < 4 else 8)
    return {"activations": tokens * per_token + casts, "logits": rows * per_row}


def probability_bytes(model: nn.Module, squared: int, itemsize: int) -> int:
    """Return the bytes of attention probabilities that the engine keeps on a CPU for its own backward pass.

    Args:
        squared: sum of the squared lengths of the sequences of one pass.
    """
    config: Any = model.config
    return int(config.num_hidden_layers) * int(config.num_attention_heads) * squared * itemsize


def caps_logits(model: nn.Module) -> bool:
    """Return whether the model changes its logits outside the head, so that the head runs on every token."""
    values = (
        getattr(model.config, name, None) for name in ("final_logit_softcapping", "logit_scale", "logits_scaling")
    )
    return any(value not in (None, 0, 1) for value in values)


def _reads_input(target: Adapter | Full) -> bool:
    """Return whether a gradient needs the layer's input: not where B A is trained in B alone."""
    if isinstance(target, Full) or type(target.parametrization) is not LowRank or target.dropout:
        return True
    return "A" in target.trained_shapes("", 8, 8)


def _inner(target: Adapter | Full, modules: int) -> int:
    """Return the width of A x over all adapted modules (twice with a frozen start)."""
    if isinstance(target, Full):
        return 0
    return modules * target.rank * (2 if target.init.edits_base else 1)


def _head(model: nn.Module) -> tuple[int, int]:
    vocabulary, hidden = model.get_output_embeddings().weight.shape  # type: ignore[operator]
    return int(vocabulary), int(hidden)
