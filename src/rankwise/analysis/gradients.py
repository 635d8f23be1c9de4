"""Gradients of single examples with respect to some weights, at W0 or at W0 plus updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters import orientation
from rankwise.analysis.bench import Bench
from rankwise.data import Encoded
from rankwise.engine.batches import collate


def example_gradients(
    bench: Bench, names: list[str], examples: Sequence[Encoded], updates: dict[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the examples' NLL per target token (n,) and its gradients by module, (n, d_out, d_in) float32 or wider.

    Args:
        updates: D (d_out, d_in) by module, added to the layers' outputs, so that the base is not written: the
            gradient with respect to W0 is then that with respect to W0 + D.
    """
    weights = {name: cast(Tensor, bench.linear[name].weight) for name in names}
    losses: list[Tensor] = []
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    hooks = [bench.linear[name].register_forward_hook(_adding(D)) for name, D in (updates or {}).items()]
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        for example in examples:
            loss = bench.forward.nll(collate([example], bench.device)).mean()
            grads = torch.autograd.grad(loss, list(weights.values()))
            losses.append(loss.detach())
            for name, G in zip(names, grads, strict=True):
                wide = G.to(torch.promote_types(G.dtype, torch.float32))
                found[name].append(wide.T if orientation.is_conv1d(bench.linear[name]) else wide)
    finally:
        for hook in hooks:
            hook.remove()
        for weight in weights.values():
            weight.requires_grad_(False)
    return torch.stack(losses), {name: torch.stack(G) for name, G in found.items()}


def _adding(D: Tensor) -> Callable[[Any, Any, Tensor], Tensor]:
    return lambda _, inputs, y: y + linear(inputs[0], D.to(inputs[0].dtype))
