"""Training in a random subspace: theta = theta0 + P z with z the only thing that trains (arXiv 2012.13255).

    DID    theta_l = W0_l + sqrt(D_l / D) P_l z                    d numbers in z
    SAID   theta_l = W0_l + lambda_l sqrt(D_l / D) P_l z           d - m numbers in z, one lambda (from 1) for m tensors

D = sum of D_l, P_l a Fastfood projection of its own seed, so that E |P z|^2 = |z|^2 over all tensors together. The
engine's loop trains it: this is a trainee like an adapter or full fine-tuning, on a private copy of the model.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankwise.adapters import stream_seed
from rankwise.adapters.placements import linear_modules
from rankwise.analysis.measures.projection import Fastfood, fastfood
from rankwise.cost import ModelShape, Workload, full_flops
from rankwise.engine import Forward, Trainee
from rankwise.models import Base
from rankwise.models.saving import save_model


class SubspaceTrainee(Trainee):
    """z (and lambda) move the weights of some modules inside one fixed random subspace.

    Args:
        names: modules whose weights move.
        d: trained numbers, lambda included.
        layerwise: SAID instead of DID.
    """

    alone = True

    def __init__(
        self, model: nn.Module, forward: Forward, names: list[str], d: int, *, seed: int, layerwise: bool = False
    ) -> None:
        self.model: Any = copy.deepcopy(model)
        self.forward = forward.like(self.model)
        own, base = linear_modules(self.model), linear_modules(model)
        self._start: dict[str, Tensor] = {name: cast(Tensor, base[name].weight) for name in names}
        free = d - len(names) if layerwise else d
        self.z = nn.Parameter(torch.zeros(free))
        self.multipliers = nn.Parameter(torch.ones(len(names)))
        self.layerwise = layerwise
        self.size = sum(p.numel() for p in self._start.values())
        self._maps: dict[str, Fastfood] = {}
        self._moves: dict[str, Tensor] = {}
        self._weights: dict[str, nn.Parameter] = {}
        for place, name in enumerate(names):
            weight = cast(nn.Parameter, own[name].weight)
            self._maps[name] = fastfood(weight.numel(), free, stream_seed(seed, "subspace", name))
            weight.requires_grad_(True)
            self._weights[name] = weight
            weight.register_post_accumulate_grad_hook(self._collect(place, name))
        self.after_step()

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """z, and the multipliers when they train."""
        return {"z": self.z, "multipliers": self.multipliers} if self.layerwise else {"z": self.z}

    def flops(self, shape: ModelShape, work: Workload) -> int:
        """At most what full fine-tuning takes; the projections are not counted."""
        return full_flops(shape, work)

    def after_step(self) -> None:
        """Put theta0 + lambda P z into the copy."""
        with torch.no_grad():
            for place, (name, weight) in enumerate(self._weights.items()):
                share = math.sqrt(weight.numel() / self.size)
                self._moves[name] = share * self._maps[name].project(self.z.detach())
                moved = (self.multipliers[place] * self._moves[name]).reshape(weight.shape)
                weight.copy_(self._start[name].to(moved.dtype) + moved)

    def save(self, folder: Path, base: Base) -> None:
        """Write the whole model, moved, and its tokenizer."""
        save_model(self.model, base.tokenizer, folder)

    def close(self) -> None:
        """Free the copy."""
        self._weights, self._moves = {}, {}
        del self.model

    def _collect(self, place: int, name: str) -> Any:
        """Turn a weight's gradient g into those of z, lambda sqrt(D_l / D) P^T g, and of lambda, <P z, g>."""

        def move(weight: Tensor) -> None:
            assert weight.grad is not None  # called right after accumulation
            g = weight.grad.detach().float().flatten()
            weight.grad = None
            share = math.sqrt(weight.numel() / self.size)
            back = float(self.multipliers[place]) * share * self._maps[name].transposed(g, len(self.z))
            self.z.grad = back if self.z.grad is None else self.z.grad + back
            if self.layerwise:
                one = torch.zeros_like(self.multipliers)
                one[place] = self._moves[name] @ g
                self.multipliers.grad = one if self.multipliers.grad is None else self.multipliers.grad + one

        return move
